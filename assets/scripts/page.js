// Small things of the page that need no server. Everything is delegated from the document, so it
// works for whatever is drawn later.
(() => {
  const KEY = 'semerge-theme';
  const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const asked = new URLSearchParams(location.search).get('__theme');

  // the visitor's last choice, unless the address names a theme
  if (!asked && stored()) {
    const choose = () => document.body?.classList.toggle('dark', stored() === 'dark');
    addEventListener('DOMContentLoaded', choose);
    new MutationObserver((_, watcher) => {
      if (document.getElementById('tabs')) { choose(); watcher.disconnect(); }
    }).observe(document.documentElement, {childList: true, subtree: true});
  }

  function switchTheme() {
    const dark = document.body.classList.toggle('dark');
    try { localStorage.setItem(KEY, dark ? 'dark' : 'light'); } catch { /* private mode */ }
  }

  function openTab(name, anchor) {
    document.querySelector(`#tabs button[role=tab][id^="${name}"], #tabs button[role=tab][data-tab-id="${name}"]`)
      ?.click();
    setTimeout(() => document.querySelector(anchor)?.scrollIntoView({block: 'start'}), 120);
  }

  function save(id) {
    const plot = document.querySelector(`#${id} .js-plotly-plot`);
    if (plot && window.Plotly) {
      window.Plotly.downloadImage(plot, {format: 'png', width: 960, height: 540, scale: 2, filename: id});
    }
  }

  document.addEventListener('click', event => {
    const hit = selector => event.target.closest?.(selector);
    let node;
    if (hit('[data-theme-switch]')) switchTheme();
    else if ((node = hit('[data-goto]'))) {
      event.preventDefault();
      openTab(node.dataset.goto, node.getAttribute('href'));
    } else if ((node = hit('[data-save]'))) save(node.dataset.save);
    else if (hit('[data-example]') && matchMedia('(max-width: 820px)').matches) {
      // on a phone the answer is below the examples: bring it into view
      const result = hit('.se-desk')?.querySelector('.se-result');
      result?.scrollIntoView({block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'});
    }
  });
})();
