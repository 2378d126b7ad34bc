// Keys that step through the samples, while the table or the open row has the focus.
const KEYS = {ArrowLeft: 'previous', ArrowRight: 'next', r: 'random', p: 'pin'};
work.addEventListener('keydown', event => {
  const node = event.target;
  if (event.ctrlKey || event.altKey || event.metaKey || !node.closest('#inspect-table, #inspect-detail')) return;
  // where the keys have a meaning of their own
  if (node.closest('input, textarea, select, [contenteditable=true], [role=tab], [role=slider]')) return;
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does || (event.key.startsWith('Arrow') && node.matches('.se-scroll'))) return;
  event.preventDefault();
  if (event.repeat && work.waiting.length) return;  // a key that is held must not run ahead
  if (node.closest('#inspect-table')) last = 'current';
  send(does === 'pin' ? {do: 'pin'} : {do: 'step', value: does});
});
