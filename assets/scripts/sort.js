// Tables whose headings sort them. A cell holds what it is sorted by; what is empty goes last.
document.addEventListener('click', event => {
  const button = event.target.closest('[data-sort]');
  if (!button) return;
  const head = button.closest('th'), table = head.closest('table'), body = table.tBodies[0];
  const column = [...head.parentNode.children].indexOf(head), words = button.dataset.sort === 'words';
  // numbers begin with the largest, words with the first
  const first = words ? 'ascending' : 'descending', second = words ? 'descending' : 'ascending';
  const order = head.getAttribute('aria-sort') === first ? second : first;
  for (const other of head.parentNode.children) other.setAttribute('aria-sort', other === head ? order : 'none');
  const sign = order === 'ascending' ? 1 : -1;
  const value = row => row.children[column].dataset.value;
  const rows = [...body.rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === '' || y === '') return (x === '') - (y === '');
    return sign * (words ? x.localeCompare(y) : x - y);
  });
  body.append(...rows);
});
