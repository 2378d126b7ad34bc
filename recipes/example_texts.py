"""The example sentences: written for this project, none is taken from a data set.

Each is in the style of its task: film reviews in small letters with spaced punctuation, questions
to an assistant without any, headlines, titles of questions.
"""
# One sentence a line, however long; Greek and Cyrillic letters are no slips of the keyboard here.
# ruff: noqa: E501, RUF001

from __future__ import annotations

TEXTS: dict[str, tuple[tuple[str, str], ...]] = {
    "sentiment_mr": (
        ("positive", "a small , tender film about two brothers and a broken boat that earns every one of its tears ."),
        ("positive", "the lead actress is a wonder , and the last ten minutes sent me home with a grin ."),
        ("positive", "a clever , generous comedy that never once talks down to its audience ."),
        ("positive", "gorgeously shot , sharply written and quietly moving ."),
        ("negative", "two hours of shouting and explosions without a single idea ."),
        ("negative", "the jokes are stale , the plot is a mess and the ending insults anyone who is still awake ."),
        ("negative", "a lifeless remake that mistakes noise for drama ."),
        ("negative", "it would like to be a thriller , but the only suspense is when it will finally be over ."),
    ),
    "banking77": (
        ("activate my card", "My new card came in the post this morning. What do I do to activate it?"),
        ("card swallowed", "The cash machine at the station has swallowed my card!"),
        ("pin blocked", "I typed the wrong PIN three times and now it is blocked. What can I do?"),
        ("transaction charged twice", "Why was I charged twice for one and the same coffee?"),
        ("lost or stolen phone", "My bag was stolen on the bus and my phone was in it. Is my account safe?"),
        ("exchange rate", "Which exchange rate do you use when I change pounds into euros?"),
        ("terminate account", "I am not happy with you any more, please close my account."),
        ("apple pay or google pay", "Does your app work with Google Pay at the supermarket till?"),
    ),
    "clinc_domain": (
        ("auto and commute", "how much air should be in my front tires for a long drive"),
        ("banking", "move two hundred dollars from my savings into checking for the rent"),
        ("credit cards", "is there a yearly fee on my gold credit card"),
        ("home", "put olive oil and paper towels on the shopping list"),
        ("kitchen and dining", "how long do i have to bake sweet potatoes"),
        ("meta", "you are speaking too fast for me so slow down"),
        ("small talk", "do you have brothers and sisters or are you the only bot"),
        ("travel", "find me a cheap flight from denver to lisbon in may"),
        ("utility", "wake me with an alarm at twenty past six tomorrow"),
        ("work", "how many vacation days have i got left before july"),
    ),
    "snips_intent": (
        ("add to playlist", "Add this song by Nina Simone to my Slow Sunday playlist"),
        ("book restaurant", "Book a table for four at a Thai restaurant in Portland for tonight"),
        ("get weather", "Will it rain in Lisbon tomorrow afternoon?"),
        ("get weather", "How cold is it going to be in Oslo at the weekend"),
        ("play music", "Play the newest album by Norah Jones on Spotify"),
        ("rate book", "Give The Lighthouse of Paper five out of 6 stars"),
        ("search creative work", "Find the TV series called The Silent Harbour"),
        ("search screening event", "When is Night Train to Genoa showing at the nearest cinema?"),
    ),
    "clickbait": (
        ("news headline", "Central bank raises interest rates for third time this year"),
        ("news headline", "Winter storm leaves thousands without power in northern Norway"),
        ("news headline", "Two miners rescued after a week underground in Chile"),
        ("news headline", "Parliament Approves New Limits on Campaign Spending"),
        ("clickbait headline", "19 Things Only People Who Grew Up With Three Cats Will Understand"),
        ("clickbait headline", "Can You Guess The Country From Its Breakfast"),
        ("clickbait headline", "This Woman Lived Without Coffee For A Month And Here's What Happened"),
        ("clickbait headline", "What Does Your Favorite Soup Say About You"),
    ),
    "stackoverflow20": (
        ("excel", "Excel formula to count the unique values of a column if the next cell is blank"),
        ("bash", "Bash script: loop over all files of a folder whose names contain a space"),
        ("haskell", "Why does foldl build up thunks in Haskell while foldl' stays strict?"),
        ("matlab", "How to plot two curves with different y axes in one Matlab figure"),
        ("svn", "How can I undo my last svn commit and keep the local changes?"),
        ("wordpress", "Wordpress: list only the posts of one category on the start page"),
        ("oracle", "Oracle query that returns the latest row of each customer"),
        ("hibernate", "Hibernate lazy collection throws an exception once the session is closed"),
    ),
    "language_id": (
        ("English", "The last train to the coast leaves at half past nine."),
        ("French", "Le petit café au coin de la rue ouvre à sept heures."),
        ("German", "Im Winter fahren wir gern mit dem Zug in die Berge."),
        ("Spanish", "Mi abuela prepara la mejor sopa de todo el pueblo."),
        ("Swedish", "På sommaren badar vi i sjön nästan varje kväll."),
        ("Turkish", "Kedim bütün gün pencerenin önünde uyuyor."),
        ("Greek", "Το βράδυ περπατάμε δίπλα στη θάλασσα."),
        ("Russian", "Зимой мы катаемся на лыжах в лесу за домом."),
        ("Arabic", "نشرب الشاي في الحديقة كل مساء."),
        ("Hindi", "मेरी बहन हर सुबह बगीचे में पौधों को पानी देती है।"),
    ),
}  # fmt: skip
"""task -> (label, sentence). Labels are class names of the task."""
