// Presenting (`?present=1`): larger type, nothing but the input and its result, and the four steps
// of the method one by one. The panel is the page's own; style sheets show and hide its parts.
(() => {
  const STEPS = ['probe', 'similarity', 'rescale', 'answer'];
  const NAMES = ['Overview', 'Probe', 'Similarity', 'Rescale', 'Merge and answer'];
  const FONT = 20, GROWN = 46 / 42; // px of a chart's text; how much taller plotly's rows become
  const MOST = 60; // items of a list
  const FRAME = '<svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2">'
    + '<path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg>';
  // where a key has a meaning of its own
  const BUSY = 'input, textarea, select, [contenteditable]:not([contenteditable=false]),'
    + '[role=slider], [role=listbox], [role=option], [role=combobox], [role=spinbutton], [role=menu], canvas';
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search);
  let on = asked.get('present') === '1';
  let step = on ? STEPS.indexOf(asked.get('step')) + 1 : 0; // 0: everything
  let bar, dark;

  // A list of one's own, `item` by `item` in the link: numbers of examples, and sentences after a "~".
  // A page that was opened with one steps through it alone; else, it is being made.
  const given = asked.getAll('item').filter(item => /^(\d{1,4}|~.{1,500})$/s.test(item)).slice(0, MOST);
  const lists = new Map(given.length ? [[asked.get('tab') ?? 'vision', [...new Set(given)]]] : []);
  const alone = new Set(lists.keys()); // tabs that step through their list
  const list = () => lists.get(semerge.tab()) ?? [];

  semerge.presenting = () => ({
    ...on && {present: '1'},
    ...on && step && {step: STEPS[step - 1]},
    ...list().length && {item: list()},
  });

  // the tabs with a gallery and the result of one input
  const desk = () => document.querySelector(`[id="${semerge.tab()}-tab"] .se-desk:has([data-example])`);
  const button = item => desk()?.querySelector(`[data-example="${item}"]`);
  const box = end => desk()?.querySelector(`[id$="-${end}"] textarea`);

  // what can be stepped to, and which of it is shown: "" for an image of one's own
  function items() {
    if (alone.has(semerge.tab()) && list().length) return list().filter(item => item[0] === '~' ? box('text') : button(item));
    return [...(desk()?.querySelectorAll('[data-example]') ?? [])].map(node => node.dataset.example);
  }

  function current() {
    const example = desk()?.querySelector('[data-example][aria-pressed=true]');
    if (example) return example.dataset.example;
    const texts = [box('text')?.value.trim(), box('text-b')?.value.trim()].filter(Boolean);
    return texts.length ? `~${texts.join('\n')}` : '';
  }

  function open(item) {
    if (item[0] !== '~') return button(item)?.click();
    const texts = item.slice(1).split('\n');
    for (const [i, end] of ['text', 'text-b'].entries()) {
      const field = box(end);
      if (!field) continue;
      field.value = texts[i] ?? '';
      field.dispatchEvent(new Event('input', {bubbles: true}));
    }
    setTimeout(() => document.getElementById(`${semerge.tab()}-run`)?.click(), 50); // once the page has read it
  }

  function keep() {
    const item = current(), before = list();
    if (!item || !desk()) return;
    lists.set(semerge.tab(), before.includes(item) ? before.filter(one => one !== item) : [...before, item].slice(0, MOST));
    show();
    semerge.told(); // the address has it
  }

  function goTo(next) {
    step = Math.max(0, Math.min(STEPS.length, next));
    show();
    scrollTo(0, 0);
  }

  function example(by) {
    const all = items(), at = all.indexOf(current());
    // an input of one's own is before the first and after the last
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
    if (next in all) open(all[next]);
  }

  function reset() {
    goTo(0);
    const all = items(), first = desk()?.querySelector('.se-examples').dataset.opening;
    const item = all.includes(first) && !alone.has(semerge.tab()) ? first : all[0];
    if (item !== undefined) open(item);
  }

  function present(yes) {
    on = yes;
    step = 0;
    black(false);
    if (!yes && document.fullscreenElement) document.exitFullscreen();
    show();
    (yes ? bar : document.querySelector('[data-present]'))?.focus();
  }

  // nothing to see, as long as somebody talks
  function black(yes) {
    if (!dark && !yes) return;
    if (!dark) {
      dark = Object.assign(document.createElement('div'), {className: 'se-black', tabIndex: -1, role: 'status'});
      dark.setAttribute('aria-label', 'The screen is black; B or Escape brings the slide back');
      dark.addEventListener('click', () => black(false));
      document.body.append(dark);
    }
    dark.hidden = !yes;
    (yes ? dark : bar)?.focus();
  }
  const isBlack = () => Boolean(dark && !dark.hidden);

  function fullscreen() {
    const asks = document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.();
    asks?.catch(() => {}); // not where the page is in a frame that may not
  }

  const ACTIONS = {
    back: () => example(-1), next: () => example(1), up: () => goTo(step - 1), down: () => goTo(step + 1),
    reset, keep, fullscreen, black: () => black(!isBlack()), exit: () => present(false),
    escape: () => isBlack() ? black(false) : document.fullscreenElement ? fullscreen() : present(false),
  };
  const KEYS = {
    ArrowLeft: 'back', ArrowRight: 'next', ArrowUp: 'up', PageUp: 'up', ArrowDown: 'down', PageDown: 'down',
    Home: 'reset', k: 'keep', f: 'fullscreen', b: 'black', Escape: 'escape',
  };
  const ANYWHERE = ['fullscreen', 'black', 'escape']; // on tabs without steps, too

  function makeBar() {
    const button = (action, sign, name, key = '') => `<button type="button" data-do="${action}" aria-label="${name}"`
      + ` title="${name}${key && `: ${key}`}"${key && ` aria-keyshortcuts="${key}"`}>${sign}</button>`;
    bar = document.createElement('nav');
    bar.className = 'se-presenter';
    bar.setAttribute('aria-label', 'Presenting');
    bar.tabIndex = -1;
    bar.innerHTML =
      `<span class="of-desk" role="group" aria-label="Examples">${button('back', '←', 'Example before')}`
      + `<span data-say="example"></span>${button('next', '→', 'Next example')}${button('keep', '☆', 'In my list', 'K')}</span>`
      + `<span class="of-desk" role="group" aria-label="Steps of the method">${button('up', '↑', 'Step before')}`
      + `<span data-say="step" role="status"></span>${button('down', '↓', 'Next step')}</span>`
      + `<span><span class="of-desk">${button('reset', '⟲', 'Reset to the first example', 'Home')}</span>`
      + (document.fullscreenEnabled ? button('fullscreen', FRAME, 'Full screen', 'F') : '')
      + `${button('black', '■', 'Black screen', 'B')}${button('exit', 'Exit', 'End presenting', 'Escape')}</span>`;
    bar.addEventListener('click', event => ACTIONS[event.target.closest('[data-do]')?.dataset.do]?.());
    document.body.append(bar);
  }

  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  // brings the page in line with the state; called after every change of the page, so it only
  // writes what differs
  function show() {
    root.classList.toggle('se-present', on);
    const at = on && desk() ? step : 0;
    if (at && root.dataset.step !== STEPS[at - 1]) root.dataset.step = STEPS[at - 1];
    if (!at) delete root.dataset.step;
    if (!document.body) return;
    if (on && !bar) makeBar();
    if (bar) {
      bar.hidden = !on;
      const all = items(), item = current(), place = all.indexOf(item);
      const kept = list().includes(item), star = bar.querySelector('[data-do=keep]');
      bar.classList.toggle('no-desk', !all.length);
      put(bar.querySelector('[data-say=example]'),
        place < 0 ? 'Own input' : `Example ${place + 1} of ${all.length}`);
      put(star, kept ? '★' : '☆');
      if (star.getAttribute('aria-pressed') !== String(kept)) star.setAttribute('aria-pressed', String(kept));
      if (star.disabled !== !item) star.disabled = !item;
      put(bar.querySelector('[data-say=step]'), step ? `${step} of 4: ${NAMES[step]}` : NAMES[0]);
    }
    document.querySelectorAll('#tabs .js-plotly-plot').forEach(fit);
  }

  // a chart's texts are set in its layout, where no style sheet reaches
  function fit(plot) {
    const now = plot._fullLayout;
    if (!window.Plotly || !now || !plot.checkVisibility() || !(on || plot.grown)) return;
    // a layout that came with a new answer has the sizes of an ordinary page
    if (plot.usual?.layout !== plot.layout) {
      const {font, height, xaxis} = plot.layout;
      plot.usual = {layout: plot.layout, size: font?.size ?? 12, height: height ?? now.height, ticks: xaxis?.tickfont?.size};
    }
    const {size, ticks, height} = plot.usual, width = plot.clientWidth;
    const want = on ? {size: FONT, ticks: FONT, height: Math.round(height * GROWN)} : {size, ticks, height};
    if (now.font.size === want.size && now.height === want.height && Math.abs(now.width - width) < 2) return;
    plot.grown = on;
    window.Plotly.relayout(plot, {
      'font.size': want.size, 'xaxis.tickfont.size': want.ticks ?? null, height: want.height, width,
    }).then(() => { delete plot.layout.width; }); // so that it follows the window again
  }

  addEventListener('keydown', event => {
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!on || !action || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.(BUSY) || !(desk() || ANYWHERE.includes(action))) return;
    event.preventDefault();
    if (isBlack() && !ANYWHERE.includes(action)) black(false);
    ACTIONS[action]();
  });
  document.addEventListener('click', event => { if (event.target.closest?.('[data-present]')) present(true); });
  semerge.watch(show);
  show();
})();
