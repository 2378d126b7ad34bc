// The map of an inspection: a loop that is drawn around samples shows these alone in the table, and a
// click opens one. With a finger only once "Loop by finger" is pressed, so that a swipe scrolls on.
const CLICK = 5, REACH = 12; // units: what is no loop yet; how near a click has to be
let loop = null;

function place(event) {
  const svg = element.querySelector('.se-map-plot');
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [at.x, at.y];
}

const samples = () => [...element.querySelectorAll('use[data-row]')].map(use =>
  ({row: Number(use.dataset.row), x: use.x.baseVal.value, y: use.y.baseVal.value}));

// whether a point is inside a closed loop: a ray from it crosses the loop an odd number of times
function inside({x, y}) {
  let odd = false;
  loop.forEach(([x1, y1], i) => {
    const [x2, y2] = loop.at(i - 1);
    if ((y1 > y) !== (y2 > y) && x < x1 + (x2 - x1) * (y - y1) / (y2 - y1)) odd = !odd;
  });
  return odd;
}

// numbers as the server reads them: 0-4,7
function ranges(rows) {
  const found = [];
  for (const row of rows.sort((a, b) => a - b)) {
    if (found.length && row === found.at(-1)[1] + 1) found.at(-1)[1] = row;
    else found.push([row, row]);
  }
  return found.map(([a, b]) => a === b ? a : `${a}-${b}`).join(',');
}

function draw() {
  const path = element.querySelector('.loop');
  path?.setAttribute('d', loop?.length > 1 ? `M${loop.map(p => p.map(v => v.toFixed(1)).join(' ')).join('L')}Z` : '');
}

element.addEventListener('click', event => {
  const button = event.target.closest('[data-lasso]');
  if (!button) return;
  const on = button.getAttribute('aria-pressed') !== 'true';
  button.setAttribute('aria-pressed', String(on));
  element.querySelector('.se-map').classList.toggle('looping', on);
});
element.addEventListener('pointerdown', event => {
  const svg = event.target.closest('.se-map-plot');
  if (!svg || event.button || (event.pointerType === 'touch' && !svg.closest('.looping'))) return;
  event.preventDefault();
  svg.setPointerCapture(event.pointerId);
  loop = [place(event)];
});
element.addEventListener('pointermove', event => {
  if (!loop) return;
  loop.push(place(event));
  draw();
});
element.addEventListener('pointercancel', () => { loop = null; draw(); });
element.addEventListener('pointerup', event => {
  if (!loop) return;
  const [x, y] = place(event);
  const far = Math.max(...loop.map(([a, b]) => Math.hypot(a - loop[0][0], b - loop[0][1])));
  if (far < CLICK) {
    const by = ({x: a, y: b}) => Math.hypot(a - x, b - y);
    const near = samples().sort((a, b) => by(a) - by(b))[0];
    if (near && by(near) < REACH) {
      work.opened = true;
      send({do: 'open', row: near.row});
    }
  } else {
    send({do: 'region', value: ranges(samples().filter(inside).map(({row}) => row))});
  }
  loop = null;
  draw();
});
