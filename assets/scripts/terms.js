// The sentence of a term, beside it: while a pointer is on it, while it has the focus, after a tap.
// Escape takes it away, and it stays while the pointer is on the sentence itself. What it says is the
// term's description (aria-describedby), so it is nothing new to who hears the page.
(() => {
  const EDGE = 12, GAP = 6; // px: to the window's edges, to the term
  const AWAY = 160; // ms that the pointer may take from the term to the sentence
  let shown = null, leaving = 0;
  const tip = () => document.querySelector('.se-tip');
  const term = event => event.target.closest?.('.se-term');

  function show(button) {
    const box = tip(), text = document.getElementById(button.getAttribute('aria-describedby'))?.textContent;
    clearTimeout(leaving);
    if (!box || !text) return;
    shown = button;
    box.textContent = text;
    box.hidden = false;
    const at = button.getBoundingClientRect(), wide = box.offsetWidth, high = box.offsetHeight;
    const left = Math.min(at.left, innerWidth - wide - EDGE);
    const under = at.bottom + GAP + high <= innerHeight;
    box.style.left = `${Math.max(EDGE, left)}px`;
    box.style.top = `${under ? at.bottom + GAP : at.top - GAP - high}px`;
  }

  function hide() {
    clearTimeout(leaving);
    shown = null;
    if (tip()) tip().hidden = true;
  }

  document.addEventListener('pointerover', event => {
    if (event.pointerType === 'touch') return;
    if (term(event)) show(term(event));
    else if (event.target.closest?.('.se-tip')) clearTimeout(leaving);
    else if (shown && shown !== document.activeElement) {
      clearTimeout(leaving);
      leaving = setTimeout(hide, AWAY);
    }
  });
  document.addEventListener('focusin', event => (term(event) ? show(term(event)) : hide()));
  document.addEventListener('focusout', event => { if (term(event) === shown) hide(); });
  document.addEventListener('click', event => { // not every browser gives a button the focus
    if (term(event)) show(term(event));
    else if (!event.target.closest?.('.se-tip')) hide();
  });
  document.addEventListener('keydown', event => {
    if (event.key !== 'Escape' || !shown) return;
    event.stopPropagation();
    hide();
  }, true);
  // a term that gets the focus may be scrolled into the window: its sentence goes with it
  addEventListener('scroll', () => (shown && shown === document.activeElement ? show(shown) : hide()), {passive: true, capture: true});
  semerge.watch(() => { if (shown && !shown.isConnected) hide(); });
})();
