// Presenting (`?present=1`): larger type, nothing but the input and its result, and the four steps
// of the method one by one. The panel is the page's own; style sheets show and hide its parts.
(() => {
  const STEPS = ['probe', 'similarity', 'rescale', 'answer'];
  const NAMES = ['Overview', 'Probe', 'Similarity', 'Rescale', 'Merge and answer'];
  const FONT = 20, GROWN = 46 / 42; // px of a chart's text; how much taller a chart's rows become
  // where a key has a meaning of its own
  const BUSY = 'input, textarea, select, [contenteditable]:not([contenteditable=false]),'
    + '[role=slider], [role=listbox], [role=option], [role=combobox], [role=spinbutton], [role=menu], canvas';
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search);
  let on = asked.get('present') === '1';
  let step = on ? STEPS.indexOf(asked.get('step')) + 1 : 0; // 0: everything
  let bar;

  semerge.presenting = () => !on ? {} : step ? {present: '1', step: STEPS[step - 1]} : {present: '1'};

  // the tabs with a gallery and the result of one input
  const desk = () => document.querySelector(`[id="${semerge.tab()}-tab"] .se-desk:has([data-example])`);
  const examples = () => [...(desk()?.querySelectorAll('[data-example]') ?? [])];
  const current = list => list.findIndex(button => button.getAttribute('aria-pressed') === 'true');

  function goTo(next) {
    step = Math.max(0, Math.min(STEPS.length, next));
    show();
    scrollTo(0, 0);
  }

  function example(by) {
    const list = examples(), at = current(list);
    // an input of one's own is before the first and after the last
    const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by;
    list[next]?.click();
  }

  function reset() {
    goTo(0);
    const first = desk()?.querySelector('.se-examples').dataset.opening;
    desk()?.querySelector(`[data-example="${first}"]`)?.click();
  }

  function present(yes) {
    on = yes;
    step = 0;
    show();
    (yes ? bar : document.querySelector('[data-present]'))?.focus();
  }

  const ACTIONS = {
    back: () => example(-1), next: () => example(1), up: () => goTo(step - 1), down: () => goTo(step + 1),
    reset, exit: () => present(false),
  };
  const KEYS = {
    ArrowLeft: 'back', ArrowRight: 'next', ArrowUp: 'up', PageUp: 'up', ArrowDown: 'down', PageDown: 'down',
    Home: 'reset',
  };

  function makeBar() {
    const button = (action, sign, name) =>
      `<button type="button" data-do="${action}" aria-label="${name}">${sign}</button>`;
    bar = document.createElement('nav');
    bar.className = 'se-presenter';
    bar.setAttribute('aria-label', 'Presenting');
    bar.tabIndex = -1;
    bar.innerHTML =
      `<span class="of-desk" role="group" aria-label="Examples">${button('back', '←', 'Example before')}`
      + `<span data-say="example"></span>${button('next', '→', 'Next example')}</span>`
      + `<span class="of-desk" role="group" aria-label="Steps of the method">${button('up', '↑', 'Step before')}`
      + `<span data-say="step" role="status"></span>${button('down', '↓', 'Next step')}</span>`
      + `<span><span class="of-desk">${button('reset', 'Reset', 'Reset to the first example')}</span>${button('exit', 'Exit', 'End presenting')}</span>`;
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
      const list = examples(), place = current(list);
      bar.classList.toggle('no-desk', !list.length);
      put(bar.querySelector('[data-say=example]'),
        place < 0 ? 'Own input' : `Example ${place + 1} of ${list.length}`);
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
    const action = KEYS[event.key];
    if (!on || !action || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.(BUSY) || !desk()) return;
    event.preventDefault();
    ACTIONS[action]();
  });
  document.addEventListener('click', event => { if (event.target.closest?.('[data-present]')) present(true); });
  semerge.watch(show);
  show();
})();
