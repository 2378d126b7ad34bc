// The drawing pad. `element`, `props`, `trigger` and `watch` are given by Gradio's HTML component.
// `drawing`, if it has one, is {strokes, time}: it draws these by itself, and then invites.
const canvas = element.querySelector('canvas');
const pen = canvas.getContext('2d');
const range = element.querySelector('input[type=range]');
const WAIT = 450; // ms between the end of a stroke and the question, so that digits of two strokes work
const SPEED = 0.55; // px of the board a millisecond, of what draws itself
const LIFT = 160; // ms between two strokes of it
const invite = element.querySelector('.se-invite');
let board = '#000000', colour = '#ffffff', strokes = [], current = null, timer = 0;
let shown = null; // what draws itself: nobody's own, so it is not asked about, and gives way to a pen

function paint() {
  pen.fillStyle = board;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.lineCap = pen.lineJoin = 'round';
  for (const stroke of strokes) {
    pen.strokeStyle = pen.fillStyle = stroke.colour;
    pen.lineWidth = stroke.width;
    pen.beginPath();
    const [first, ...rest] = stroke.points;
    pen.moveTo(...first);
    if (!rest.length) pen.lineTo(first[0] + 0.1, first[1]);
    // curves through the midpoints: a finger's few points still give a smooth line
    rest.forEach((point, i) => {
      const next = rest[i + 1];
      if (next) pen.quadraticCurveTo(...point, (point[0] + next[0]) / 2, (point[1] + next[1]) / 2);
      else pen.lineTo(...point);
    });
    pen.stroke();
  }
}

function ask() {
  away();
  clearTimeout(timer);
  timer = setTimeout(() => {
    props.value = strokes.length ? canvas.toDataURL('image/png') : '';
    if (!strokes.length) element.dispatchEvent(new Event('semerge-gone', {bubbles: true}));
    if (strokes.length) trigger('submit');
  }, WAIT);
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width,
          (event.clientY - box.top) * canvas.height / box.height];
}

// The first so many ms of strokes, as strokes.
function until(all, time) {
  const part = [];
  for (const points of all) {
    if (time <= 0) break;
    const drawn = [points[0]];
    for (let i = 1; i < points.length && time > 0; i++) {
      const [from, to] = [points[i - 1], points[i]];
      const takes = Math.hypot(to[0] - from[0], to[1] - from[1]) / SPEED;
      const share = Math.min(1, time / takes || 1);
      drawn.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
      time -= takes;
    }
    part.push(drawn);
    time -= LIFT;
  }
  return [part, time > 0];
}

function draw(drawing) {
  if (!drawing || drawing.time === shown?.time) return;
  shown = drawing;
  clearTimeout(timer);
  if (board !== '#000000') element.querySelector('[data-board="#000000"]').click();
  shown = drawing;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  let start = null;
  const step = now => {
    if (shown !== drawing) return;
    start ??= now;
    const [part, whole] = until(drawing.strokes, still ? Infinity : now - start);
    strokes = part.map(points => ({colour: '#ffffff', width: 26, points}));
    paint();
    invite.hidden = !whole;
    if (!whole) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// What drew itself is now the visitor's own, or gone.
function away() { shown = null; invite.hidden = true; }

canvas.addEventListener('pointerdown', event => {
  if (event.button) return;
  event.preventDefault();
  if (shown) strokes = [];
  away();
  clearTimeout(timer);
  canvas.setPointerCapture(event.pointerId);
  current = {id: event.pointerId, colour, width: Number(range.value), points: [at(event)]};
  strokes.push(current);
  paint();
});
canvas.addEventListener('pointermove', event => {
  if (!current || event.pointerId !== current.id) return;
  for (const step of event.getCoalescedEvents?.() ?? [event]) current.points.push(at(step));
  paint();
});
for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, event => {
  if (!current || event.pointerId !== current.id) return;
  current = null;
  ask();
});

function press(group, button) {
  group.querySelectorAll('button').forEach(b => b.setAttribute('aria-pressed', String(b === button)));
}

function undo() { if (shown) strokes = []; else strokes.pop(); paint(); ask(); }

element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.board) {
    board = button.dataset.board;
    press(button.parentElement, button);
    // the usual pen of each board: chalk is broad (MNIST), ink is fine (Omniglot)
    const dark = board === '#000000';
    range.value = dark ? 26 : 12;
    const opposite = dark ? '#ffffff' : '#000000';
    const hidden = dark ? '#000000' : '#ffffff';
    for (const stroke of strokes) if (stroke.colour === hidden) stroke.colour = opposite;
    colour = opposite;
    press(element.querySelector('.se-swatches'), element.querySelector(`[data-colour="${opposite}"]`));
    paint();
    if (strokes.length && !shown) ask();
  } else if (button.dataset.colour) {
    colour = button.dataset.colour;
    press(button.parentElement, button);
  } else if (button.dataset.do === 'undo') {
    undo();
  } else if (button.dataset.do === 'clear') {
    strokes = [];
    paint();
    ask();
  }
});
canvas.addEventListener('keydown', event => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'z') { event.preventDefault(); undo(); }
});
watch(['drawing'], () => draw(props.drawing));
paint();
draw(props.drawing);
