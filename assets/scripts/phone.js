// On a phone the answer is below the input. While neither its sentence nor its cards are in the window,
// one line at the lower edge tells it, and leads to it. And of the tables of the Layers tab, which are
// wider than a phone, the part is shown that matters.
(() => {
  const NARROW = matchMedia('(max-width: 960px)');
  const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
  let strip;

  const result = () => document.querySelector(`[id="${semerge.tab()}-tab"] .se-desk:has([data-example]) .se-result`);

  function inWindow(node) {
    const {top, bottom, height} = node.getBoundingClientRect();
    return height > 0 && bottom > 40 && top < innerHeight - 80;
  }

  function makeStrip() {
    strip = document.createElement('button');
    strip.type = 'button';
    strip.className = 'se-strip';
    strip.addEventListener('click', () => {
      result()?.scrollIntoView({block: 'start', behavior: still() ? 'auto' : 'smooth'});
    });
    document.body.append(strip);
  }

  // called after every change and every scroll, so it only writes what differs
  function follow() {
    const panel = NARROW.matches && !document.documentElement.classList.contains('se-present') && result();
    const brief = panel && panel.querySelector('.se-brief');
    const seen = brief && [...panel.querySelectorAll('.se-sentence, .se-card.se .se-answer')].some(inWindow);
    const told = Boolean(brief && brief.parentElement.checkVisibility() && !seen);
    if (told && !strip) makeStrip();
    if (!strip) return;
    if (told && strip.told !== brief.innerHTML) {
      strip.told = brief.innerHTML;
      strip.replaceChildren(...brief.cloneNode(true).childNodes, Object.assign(document.createElement('i'), {textContent: '↓', ariaHidden: 'true'}));
    }
    if (strip.hidden === told) strip.hidden = !told;
  }

  // the cell of the nearest expert at the layer that is chosen
  function showMarked() {
    if (!NARROW.matches) return;
    for (const cell of document.querySelectorAll('#layers-tables tr.current td.marked')) {
      const box = cell.closest('.se-scroll');
      if (box.dataset.shown === cell.textContent || !box.clientWidth) continue;
      box.dataset.shown = cell.textContent;
      const head = cell.parentElement.querySelector('th').offsetWidth;
      box.scrollLeft = cell.offsetLeft - head - (box.clientWidth - head - cell.offsetWidth) / 2;
    }
  }

  let due = false;
  addEventListener('scroll', () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; follow(); });
  }, {passive: true});
  addEventListener('resize', follow);
  semerge.watch(() => { follow(); showMarked(); });
})();
