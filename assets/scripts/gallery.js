// The gallery of examples. `element`, `props`, `trigger` and `watch` are given by Gradio's HTML component.
// A click selects; `current` (an index, or -1 for an input of the visitor's own) marks the example that
// is shown. Delegated to the component's root, so it outlives a redraw of the content.
// a tab not opened yet loses the property with its first update; the content has it too
const initial = () => Number(element.querySelector('.se-examples').dataset.current);
const current = () => props.current ?? initial();
const mark = () => element.querySelectorAll('[data-example]').forEach(b => {
  const shown = Number(b.dataset.example) === current();
  b.setAttribute('aria-pressed', String(shown));
  const list = b.closest('[data-of]');
  if (shown && list) open(list.dataset.of);
  const strip = b.closest('.se-tasks');  // on a phone the tasks are one strip that scrolls
  if (shown && strip) strip.scrollLeft = b.closest('.se-task').offsetLeft - strip.offsetLeft;
  const lines = shown && list?.querySelector('ul');  // there it is a box of its own that scrolls
  if (lines) lines.scrollTop = b.offsetTop - lines.offsetTop - 8;
});
// What an event carries, always the same object: while an answer is awaited, Gradio holds back the
// next event and then sends the first one once more, which has to name the last choice.
const chosen = {};
// scrolls a row of chips, on a phone one strip, so far that all of this one is seen
const inSight = (chip, strip) => {
  const left = chip.offsetLeft - strip.offsetLeft, right = left + chip.offsetWidth;
  if (left < strip.scrollLeft) strip.scrollLeft = left - 24;
  else if (right > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = right - strip.clientWidth + 24;
};
const open = task => {
  element.querySelectorAll('[data-task]').forEach(b => {
    b.setAttribute('aria-pressed', String(b.dataset.task === task));
    if (b.dataset.task === task) inSight(b, b.parentElement);
  });
  element.querySelectorAll('[data-of]').forEach(l => { l.hidden = l.dataset.of !== task; });
};
element.addEventListener('click', event => {
  const example = event.target.closest('[data-example]');
  const task = event.target.closest('[data-task]');
  if (example) {
    props.current = Number(example.dataset.example);
    mark();
    chosen.index = props.current;
    trigger('select', chosen);
  } else if (task) {
    open(task.dataset.task);
  }
});
watch(['current', 'value'], mark);
mark();
