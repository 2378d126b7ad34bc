// One part of Inspect or Compare: its buttons carry what they do in data-act, the focus outlives a
// redraw, and data-export saves a file. `work` is the part of the page that holds table and row.
const work = element.closest('#inspect-results, #compare-results');
const ROW = ['open', 'step', 'pin', 'unpin'];
let last = null;

// One action after another. Gradio drops one that comes while the one before is answered; with
// "always_last" it would send the earlier one again in its place.
if (!work.waiting) {
  work.waiting = [];
  work.addEventListener('answered', () => { work.waiting.shift(); work.waiting[0]?.(); });
}

function send(action) {
  work.waiting.push(() => trigger(ROW.includes(action.do) ? 'row' : 'view', action));
  if (work.waiting.length === 1) work.waiting[0]();
}

async function save(button) {
  const told = button.parentElement.querySelector('[role=status]');
  told.textContent = '';
  try {
    const file = await server.export_rows(JSON.parse(button.dataset.export));
    if (!file?.text) throw new Error(file?.failure ?? 'The file could not be made.');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([file.text], {type: file.type}));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    told.textContent = `${file.name} saved.`;
  } catch (error) { told.textContent = error.message; }
}

// One stop for Tab among the samples: the arrows, Home and End go from one to the next, Enter opens it.
const openers = () => [...element.querySelectorAll('.se-samples tbody th [data-act], .se-tiles [data-act]')];
function rove(to) {
  const all = openers();
  const stop = to ?? all.find(one => one === document.activeElement)
    ?? all.find(one => one.closest('[aria-current]')) ?? all[0];
  for (const one of all) one.tabIndex = one === stop ? 0 : -1;
}
element.addEventListener('keydown', event => {
  const all = openers(), at = all.indexOf(event.target);
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const tiles = event.target.closest('.se-tiles'), top = one => Math.round(one.getBoundingClientRect().top);
  const row = tiles ? all.filter(one => top(one) === top(all[0])).length : 1;
  const ways = {ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: all.length - 1};
  if (tiles) Object.assign(ways, {ArrowLeft: at - 1, ArrowRight: at + 1}); // in the table they open a row
  if (!(event.key in ways)) return;
  event.preventDefault();
  event.stopPropagation();
  all[ways[event.key]]?.focus();
});

element.addEventListener('click', event => {
  if (event.target.closest('[data-skip]')) {
    event.preventDefault();
    element.querySelector('[data-past]').focus();
    return;
  }
  const button = event.target.closest('[data-act], [data-export]');
  const line = event.target.closest('tbody tr');
  if (button?.getAttribute('aria-disabled') === 'true') return;
  if (button?.dataset.export) save(button);
  else if (button) {
    last = button.dataset.key;
    const action = JSON.parse(button.dataset.act);
    if (action.do === 'open') work.opened = true;
    send(action);
  } else if (line && !getSelection().toString()) {
    line.querySelector('[data-act*=open]')?.click();  // the whole line is a way to its button
  }
});

// drawn anew, the button that was pressed is another one: give it the focus that it had
function refocus() {
  const active = document.activeElement;
  const follows = last === 'current' && element.contains(active);  // the focus goes with the row
  if (last === null || (active !== document.body && !follows)) return;
  const same = last === 'current' ? element.querySelector('[aria-current] [data-act]')
    : element.querySelector(`[data-key="${CSS.escape(last)}"]`);
  (same ?? element.querySelector('[data-act]'))?.focus({preventScroll: true});
}
element.addEventListener('focusin', event => {
  last = event.target.dataset.key ?? null;
  if (openers().includes(event.target)) rove(event.target);
});

// a row opened from the table is below it, or on a wide screen beside it: bring it into view once it is
// there, and of a desk that is in view nothing is moved
function reveal() {
  const open = element.querySelector('.se-open');
  if (!open || !work.opened) return;
  work.opened = false;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const desk = open.closest('#inspect-desk'), beside = desk && getComputedStyle(desk).display === 'grid';
  if (beside) open.closest('#inspect-detail').scrollTop = 0;
  const [part, block] = beside ? [desk, 'nearest'] : [open, 'start'];
  part.scrollIntoView({block, behavior: calm ? 'auto' : 'smooth'});
}
watch('value', () => { refocus(); rove(); reveal(); });
rove();
reveal();
