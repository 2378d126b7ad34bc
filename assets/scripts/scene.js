// The picture of a Result (assets/templates/scene.html): plays its four steps once, as soon as it is
// in sight, and lets a visitor replay and step it. `data-stage` of the figure says how far it is;
// without it the style sheet shows the end, which is all that is seen where nothing may move.
// Presenting has steps of its own, and the picture follows them.
(() => {
  const STEPS = ['probe', 'similarity', 'rescale', 'answer'];
  const AT = [150, 850, 1550, 2250]; // ms after the start that each begins; none takes over 600
  const IN_SIGHT = 0.35; // of the picture
  const LEAST = 0.6; // px that a unit of it has at the least, so that letters have 12 px
  const root = document.documentElement;
  const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
  const presenting = () => root.classList.contains('se-present');
  const places = new Map(); // id of the component -> {figure, told, stage, timers, waits}

  const of = figure => [...places.values()].find(place => place.figure === figure);
  const steps = figure => STEPS.filter(step => figure.querySelector(`[data-scene=${step}]`));
  // an answer that comes again, as the opening one does once the models are there, is no new one
  const told = figure => figure.querySelector('svg').outerHTML;

  function put(place, stage) {
    place.stage = stage;
    const {figure} = place;
    if (figure.dataset.stage !== stage) figure.dataset.stage = stage;
    for (const button of figure.querySelectorAll('[data-scene]')) {
      if (button.dataset.scene === stage) button.setAttribute('aria-current', 'step');
      else button.removeAttribute('aria-current');
    }
  }

  function stop(place) {
    place.timers.forEach(clearTimeout);
    place.timers = [];
    place.waits = false;
  }

  function wait(place) {
    place.waits = true;
    eyes.unobserve(place.figure); // it may be the one of the answer before, patched
    eyes.observe(place.figure);
  }

  function play(place) {
    stop(place);
    const all = steps(place.figure);
    if (still()) return put(place, all.at(-1));
    put(place, 'start');
    place.timers = all.map((step, i) => setTimeout(() => put(place, step), AT[i]));
  }

  // a picture that is below the window shows its end until it comes into sight
  const eyes = new IntersectionObserver(entries => {
    for (const {target, intersectionRatio, isIntersecting} of entries) {
      const place = of(target);
      if (!place?.waits) eyes.unobserve(target);
      else if (intersectionRatio >= IN_SIGHT) play(place);
      else if (isIntersecting) put(place, 'start');
    }
  }, {threshold: [0, IN_SIGHT]});

  function below(figure) {
    const {top, height} = figure.getBoundingClientRect();
    return height > 0 && top > innerHeight;
  }

  // a picture that begins in the first window ends there too, with its answers, if it stays legible
  function fit(figure) {
    const svg = figure.querySelector('svg'), {top, height} = svg.getBoundingClientRect();
    const room = Math.floor(innerHeight - top - scrollY - 8);
    const fits = height > 0 && !presenting() && room >= LEAST * svg.viewBox.baseVal.height;
    if (fits) figure.style.setProperty('--room', `${room}px`); else figure.style.removeProperty('--room');
  }
  const sizes = new ResizeObserver(entries => entries.forEach(({target}) => fit(target)));
  addEventListener('resize', () => places.forEach(({figure}) => fit(figure)));

  // from one step to another by itself, or straight to the one that is presented
  function follow(place, fresh) {
    const all = steps(place.figure), step = root.dataset.step;
    stop(place);
    if (fresh && step && !still()) {
      put(place, 'start');
      place.figure.getBoundingClientRect(); // so that it moves from there
    }
    put(place, all.includes(step) ? step : all.at(-1));
  }

  function meet(figure) {
    const id = figure.closest('[id$="-scene"]')?.id ?? '';
    const place = places.get(id) ?? {timers: []}, before = place.told;
    if (place.figure) sizes.unobserve(place.figure);
    places.set(id, Object.assign(place, {figure, told: told(figure)}));
    sizes.observe(figure);
    if (before === place.told) { // goes on where it was
      put(place, place.stage);
      if (place.waits) wait(place);
    } else if (presenting()) {
      follow(place, true);
    } else {
      stop(place);
      // whoever goes through a set row by row, or through the layers of one input, looks at the numbers
      const again = figure.closest('#layers-scene') && place.of === figure.dataset.of;
      const quiet = still() || again || figure.closest('#inspect-detail');
      put(place, quiet || below(figure) ? steps(figure).at(-1) : 'start');
      if (!quiet) wait(place);
    }
    place.of = figure.dataset.of;
  }

  const look = () => document.querySelectorAll('.se-scene:not([data-stage])').forEach(meet);

  let presented = ''; // how the page was presented at the last look
  function present() {
    const now = presenting() ? root.dataset.step ?? 'overview' : '';
    if (now !== presented) places.forEach(place => { fit(place.figure); follow(place, false); });
    presented = now;
  }

  function go(figure, step) {
    const place = of(figure);
    if (!place) return;
    if (step === 'replay') return play(place);
    stop(place);
    put(place, step);
  }

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-scene]');
    if (button) go(button.closest('.se-scene'), button.dataset.scene);
  });

  // before the other keys of the page: those of an open row step through the samples
  document.addEventListener('keydown', event => {
    const figure = event.target.closest?.('.se-scene');
    if (!figure || presenting() || event.ctrlKey || event.altKey || event.metaKey) return;
    const all = steps(figure), at = all.indexOf(figure.dataset.stage);
    const next = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1}[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    go(figure, all[Math.max(0, Math.min(all.length - 1, next))]);
  }, true);

  // at once and not after a while: the end must not be seen before the start
  const start = () => {
    // a new answer may come as a patch of the one before, which takes away what is not in it
    new MutationObserver(look).observe(document.body, {
      childList: true, subtree: true, attributes: true, attributeFilter: ['data-stage'],
    });
    new MutationObserver(present).observe(root, {attributes: true, attributeFilter: ['data-step', 'class']});
    look();
  };
  if (document.body) start(); else addEventListener('DOMContentLoaded', start);
})();
