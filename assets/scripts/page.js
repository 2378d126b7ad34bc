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

  // a slide-sized picture: dark on white in either theme, with the heading and the legend in it
  const KEYS = {after: ['■', '#0072B2'], rest: ['■', '#9AA3B0'], before: ['┃', '#D55E00']};

  function save(id) {
    const plot = document.querySelector(`#${id} .js-plotly-plot`);
    if (!plot || !window.Plotly) return;
    const card = plot.closest('.se-chart');
    const legend = [...card.querySelectorAll('.se-legend span')].map(key => {
      const [sign, colour] = KEYS[key.firstElementChild.className];
      return `<span style="color:${colour}">${sign}</span> ${key.textContent}`;
    });
    const layout = structuredClone(plot.layout);
    layout.title = {
      text: `<b>${card.querySelector('h3').innerHTML}</b>`, subtitle: {text: legend.join('     ')},
      x: 0, xref: 'paper', xanchor: 'left', font: {size: 22},
    };
    layout.font = {...layout.font, family: 'Arial, sans-serif', size: 15};
    layout.margin = {l: 40, r: 40, t: 90, b: 50};
    window.Plotly.downloadImage({data: plot.data, layout},
      {format: 'png', width: 960, height: 600, scale: 2, filename: id});
  }

  document.addEventListener('click', event => {
    const hit = selector => event.target.closest?.(selector);
    let node;
    if (hit('[data-theme-switch]')) switchTheme();
    else if ((node = hit('[data-goto]'))) {
      event.preventDefault();
      openTab(node.dataset.goto, node.getAttribute('href'));
    } else if ((node = hit('[data-save]'))) save(node.dataset.save);
    else if (hit('[data-example]') && matchMedia('(max-width: 960px)').matches) {
      // on a phone the answer is below the examples: bring it into view
      const result = hit('.se-desk')?.querySelector('.se-result');
      result?.scrollIntoView({block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'});
    }
  });
})();
