// Dims an answer that is of an input which is gone, or that no server stands behind any more, and takes
// in a picture from the clipboard anywhere on Vision.
(() => {
  const AGAIN = 3000; // ms between two looks for a server that is lost
  const PATIENCE = 3000; // ms that the box may take to be empty
  const root = document.documentElement;
  const answers = new Map(); // panel -> the answer in it that is stale

  const told = panel => panel.querySelector('[id$="-footer"] a[download]')?.href ?? '';

  function gone(inside) {
    const panel = inside.closest?.('.se-desk')?.querySelector('.se-result');
    if (panel) answers.set(panel, told(panel));
    look();
  }

  function look() {
    for (const [panel, answer] of answers) {
      const stale = panel.isConnected && told(panel) === answer;
      panel.classList.toggle('se-stale', stale);
      if (!stale) answers.delete(panel);
    }
  }

  document.addEventListener('click', event => {
    if (event.target.closest?.('#vision-image [aria-label="Remove Image"]')) gone(event.target);
  }, true);
  document.addEventListener('semerge-gone', event => gone(event.target)); // the pad is empty
  document.addEventListener('input', event => {
    if (event.target.matches?.('#language-text textarea') && !event.target.value.trim()) gone(event.target);
  });
  semerge.watch(look);

  // A request that never reached the server. What is broken off on purpose is none.
  let looking = 0;
  function lost(yes) {
    root.classList.toggle('se-lost', yes);
    const say = document.querySelector('[data-lost]');
    if (say) say.hidden = !yes;
    clearTimeout(looking);
    if (yes) looking = setTimeout(() => own(location.pathname, {method: 'HEAD'}).then(() => lost(false), () => lost(true)), AGAIN);
  }
  const own = window.fetch.bind(window);
  let leaving = false;
  addEventListener('pagehide', () => { leaving = true; });
  window.fetch = (...asked) => own(...asked).catch(error => {
    if (error instanceof TypeError && !leaving) lost(true);
    throw error;
  });
  addEventListener('offline', () => { if (!['localhost', '127.0.0.1', '[::1]'].includes(location.hostname)) lost(true); });

  // ---- Ctrl+V ------------------------------------------------------------------------------------

  const box = () => document.querySelector('#vision-image');

  function give(file) {
    const field = box()?.querySelector('input[type=file]');
    if (!field) return false;
    const files = new DataTransfer();
    files.items.add(file);
    field.files = files.files;
    field.dispatchEvent(new Event('change', {bubbles: true}));
    return true;
  }

  document.addEventListener('paste', event => {
    const file = [...event.clipboardData?.files ?? []].find(one => one.type.startsWith('image/'));
    const writing = event.target.closest?.('input, textarea, [contenteditable=true]');
    if (!file || writing || semerge.tab() !== 'vision' || box()?.contains(event.target)) return;
    event.preventDefault();
    [...document.querySelectorAll('.se-how [role=tab]')].find(tab => tab.textContent.trim() === 'Image')?.click();
    box()?.querySelector('[aria-label="Remove Image"]')?.click();
    const until = performance.now() + PATIENCE;
    const attempt = () => { if (!give(file) && performance.now() < until) setTimeout(attempt, 40); };
    attempt();
  });
})();
