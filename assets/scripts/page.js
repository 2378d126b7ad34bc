// Small things of the page that need no server. Everything is delegated from the document, so it
// works for whatever is drawn later. `semerge` holds what the other scripts share.
const semerge = {
  dark: () => document.body.classList.contains('dark'),

  // name of the tab that is open: "vision", "about", ...
  tab() {
    const open = [...document.querySelectorAll('#tabs > [role=tabpanel]')]
      .find(panel => panel.id && panel.style.display !== 'none');
    return open ? open.id.replace(/-tab$/, '') : '';
  },

  // brings the address in line with what is shown, see links.js
  told() {},

  // calls `then` soon after anything in the page has changed, once for many changes
  watch(then) {
    let due = false;
    const later = () => { due = false; then(); };
    const start = () => new MutationObserver(() => {
      if (!due) { due = true; setTimeout(later, 60); }
    }).observe(document.body, {
      childList: true, subtree: true, attributes: true,
      attributeFilter: ['class', 'style', 'hidden', 'data-link', 'aria-pressed'],
    });
    if (document.body) start(); else addEventListener('DOMContentLoaded', start);
  },
};

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
    // on a narrow screen some of the buttons are in the menu "More tabs"
    [...document.querySelectorAll('#tabs > .tab-wrapper :is([role=tab], .overflow-dropdown button)')]
      .find(button => button.textContent.trim().toLowerCase() === name)?.click();
    if (anchor) setTimeout(() => document.querySelector(anchor)?.scrollIntoView({block: 'start'}), 120);
  }
  semerge.open = openTab;

  document.addEventListener('click', event => {
    const hit = selector => event.target.closest?.(selector);
    let node;
    if (hit('[data-theme-switch]')) switchTheme();
    else if ((node = hit('[data-goto]'))) {
      event.preventDefault();
      openTab(node.dataset.goto, node.getAttribute('href'));
    } else if (event.isTrusted && hit('[data-example]') && matchMedia('(max-width: 960px)').matches) {
      // on a phone the answer is below the examples: bring it into view
      const result = hit('.se-desk')?.querySelector('.se-result');
      result?.scrollIntoView({block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'});
    }
  });

  // A picture that the browser can't draw, damaged or of a format that it lacks, is no broken icon.
  for (const [event, broken] of [['error', true], ['load', false]])
    document.addEventListener(event, ({target}) =>
      target.matches?.('.se-drop img') && target.classList.toggle('se-undrawn', broken), true);
})();
