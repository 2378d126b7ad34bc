// Copies the link of a tab, and keeps the address bar at what is shown. The states themselves come
// from the server, as `data-link` of each tab's button (semerge/ui/links.py).
(() => {
  const SAID = 4000; // ms that "Copied" stays
  const first = new URLSearchParams(location.search);
  const root = document.documentElement;

  // until the tab that the address names is filled, what it opens with must not be taken for it
  if (['vision', 'language', 'inspect'].includes(first.get('tab'))) root.dataset.opening = first.get('tab');

  function state() {
    const tab = semerge.tab();
    const button = document.querySelector(`[id="${tab}-tab"] [data-link]`);
    return new URLSearchParams(button?.dataset.link || (tab ? {tab} : {}));
  }

  // what of the page's looks goes into a link beside the state of its tab
  function dressed(params, theme) {
    if (theme) params.set('__theme', semerge.dark() ? 'dark' : 'light');
    for (const [key, value] of Object.entries(semerge.presenting())) {
      params.delete(key);
      for (const one of [value].flat()) params.append(key, one);
    }
    return params;
  }

  async function copy(button) {
    const link = new URL(location.pathname, location.origin);
    link.search = dressed(new URLSearchParams(button.dataset.link), false); // who opens it has a theme
    const place = button.parentElement, say = place.querySelector('[role=status]');
    place.querySelector('input')?.remove();
    try {
      await navigator.clipboard.writeText(link.href);
      say.textContent = 'Copied';
      setTimeout(() => { if (say.textContent === 'Copied') say.textContent = ''; }, SAID);
    } catch {
      // no clipboard for this page (an address that is not secure, or not permitted): the visitor copies himself
      const field = Object.assign(document.createElement('input'), {
        readOnly: true, value: link.href, className: 'se-link-field', ariaLabel: 'Link',
      });
      say.before(field);
      field.focus();
      field.select();
      say.textContent = 'Selected: copy it with Ctrl+C or ⌘C';
    }
  }

  let shown = null; // the state that the address has, or stands for
  let touched = false; // by the visitor
  let place = ''; // the tab that the address is of
  let returning = ''; // the tab that the browser's own buttons go to
  for (const kind of ['pointerdown', 'keydown', 'drop', 'paste']) {
    addEventListener(kind, () => { touched = true; }, {capture: true, once: true});
  }

  function follow() {
    if (!document.querySelector('#link-opened [data-opened]')) return;
    delete root.dataset.opening;
    const now = dressed(state(), first.has('__theme'));
    // what is not ours stays (the host's sign, the language)
    for (const [key, value] of first) if (key.startsWith('__') && key !== '__theme') now.set(key, value);
    const text = now.toString();
    const tab = semerge.tab();
    place ||= tab;
    if (returning && tab !== returning) return; // on its way there
    // a page that nobody has touched yet shows what its address says
    if (!touched) shown = text;
    const ours = !new URLSearchParams(location.search).has('view'); // Gradio's own side panels
    if (text === shown || !ours || !tab) return;
    if (shown !== null) document.querySelector('#link-notice .se-notice')?.remove(); // of another state
    shown = text;
    // a tab is a place to come back to, another state of it is not
    const way = tab === place || tab === returning ? 'replaceState' : 'pushState';
    [place, returning] = [tab, ''];
    history[way](history.state, '', `?${text}${location.hash}`);
  }

  addEventListener('popstate', () => {
    const tabs = [...document.querySelectorAll('#tabs > [role=tabpanel]')].map(panel => panel.id.replace(/-tab$/, ''));
    const asked = new URLSearchParams(location.search).get('tab');
    returning = tabs.includes(asked) ? asked : tabs[0];
    if (returning === semerge.tab()) returning = '';
    else semerge.open(returning);
  });

  semerge.watch(follow);
  semerge.told = follow;
  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-link]');
    if (button) copy(button);
  });
})();
