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

element.addEventListener('click', event => {
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
element.addEventListener('focusin', event => { last = event.target.dataset.key ?? null; });

// a row opened from the table is below it: bring it into view once it is there
function reveal() {
  const open = element.querySelector('.se-open');
  if (!open || !work.opened) return;
  work.opened = false;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  open.scrollIntoView({block: 'start', behavior: calm ? 'auto' : 'smooth'});
}
watch('value', () => { refocus(); reveal(); });
reveal();
