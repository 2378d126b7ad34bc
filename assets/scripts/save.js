// Saves a chart, or a drawing of the page's own, as a picture of a slide's size, PNG or SVG: dark on
// white in either theme, with its heading, its legend and what it is of in it. A chart of one input is
// a list on the page, and drawn here; all others are plotly's, which draws them again.
(() => {
  const SIZE = {width: 960, height: 540, scale: 2}; // 1920 x 1080
  const SIDE = 40, TOP = 96, FOOT = 84; // px around what is drawn
  const INK = 'rgb(22, 24, 29)', MUTED = 'rgb(88, 96, 112)', LINE = 'rgb(227, 231, 236)';
  const SIGNS = { // class of a legend's sign -> how it looks in the chart, and its colour there
    after: ['■', '#0072B2'], rest: ['■', '#9AA3B0'], before: ['┃', '#D55E00'],
    se: ['●', '#0072B2'], static: ['◆', '#D55E00'], base: ['○', '#9AA3B0'], expert: ['┃', '#16181D'],
    exact: ['○', '#16181D'], other: ['□', '#9AA3B0'],
  };
  // a font that every machine has, so that the picture needs no file beside it
  const FONT = 'Arial, Helvetica, sans-serif';

  const FAILED = '<p class="se-failure" role="alert">The picture could not be made; try again in a moment.</p>';

  const literal = text => text.replace(/[&<>]/g, sign => `&#${sign.codePointAt(0)};`);

  const legend = card => [...card.querySelectorAll('.se-legend > span')]
    .map(key => [...SIGNS[key.querySelector('i')?.className] ?? ['', ''], key.textContent.trim()]);

  // what the chart is of, and the day it was saved
  const origin = button => [button.dataset.of, new Date().toISOString().slice(0, 10)].filter(Boolean).join(' · ');

  function download(blob, name) {
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // ---- a chart of one input

  function draw(rows, card, of) {
    const svg = document.createElementNS(document.querySelector('svg').namespaceURI, 'svg');
    const node = (name, attributes, style, parent = svg) => {
      const made = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.setAttribute('style', style);
      return parent.appendChild(made);
    };
    const rect = (x, y, width, height, fill, rx = 0) => node('rect', {x, y, width, height, rx}, `fill: ${fill}`);
    const text = (words, x, y, {size = 16, fill = INK, bold = false, anchor = 'start'} = {}) => {
      node('text', {x, y}, `font-family: ${FONT}; font-size: ${size}px; font-weight: ${bold ? 700 : 400}; `
        + `fill: ${fill}; text-anchor: ${anchor}; white-space: pre`).textContent = words;
    };
    const share = (mark, side) => parseFloat(mark.style[side]) / 100;
    const wide = SIZE.width - 2 * SIDE, high = SIZE.height - TOP - FOOT;
    const at = part => SIDE + part * wide;

    svg.setAttribute('width', SIZE.width * SIZE.scale);
    svg.setAttribute('height', SIZE.height * SIZE.scale);
    svg.setAttribute('viewBox', `0 0 ${SIZE.width} ${SIZE.height}`);
    rect(0, 0, SIZE.width, SIZE.height, 'rgb(255, 255, 255)');
    text(card.querySelector('h3').textContent, SIDE, 44, {size: 24, bold: true});
    const keys = node('text', {x: SIDE, y: 72}, `font-family: ${FONT}; font-size: 16px; fill: ${INK}; white-space: pre`);
    for (const [sign, colour, words] of legend(card)) {
      node('tspan', {}, `fill: ${colour}`, keys).textContent = `${sign} `;
      node('tspan', {}, '', keys).textContent = `${words}     `;
    }
    for (const tick of rows.querySelectorAll('.se-grid i')) {
      rect(at(share(tick, 'left')) - 0.5, TOP, 1, high, tick.className ? MUTED : LINE);
      text(tick.textContent, at(share(tick, 'left')), TOP + high + 20, {fill: MUTED, anchor: 'middle'});
    }
    const all = [...rows.querySelectorAll('li')], row = high / all.length;
    const size = Math.min(16, row * 0.5), bar = Math.min(11, row * 0.28);
    all.forEach((item, i) => {
      const bold = item.className === 'chosen', top = TOP + i * row, y = top + size + 1, below = top + size + 5;
      const [fill, mark] = item.querySelectorAll('.se-track > *');
      text(item.querySelector('.se-label').textContent, SIDE, y, {size, bold});
      text(item.querySelector('.se-value').textContent, SIDE + wide, y, {size, bold, anchor: 'end'});
      rect(at(share(fill, 'left')), below, share(fill, 'width') * wide, bar, bold ? '#0072B2' : '#9AA3B0', 2);
      if (mark) rect(at(share(mark, 'left')) - 1.5, below - 2, 3, bar + 4, '#D55E00');
    });
    text(of, SIDE, SIZE.height - 18, {fill: MUTED});
    return new Blob([new XMLSerializer().serializeToString(svg)], {type: 'image/svg+xml'});
  }

  async function painted(drawing) {
    const image = new Image(), address = URL.createObjectURL(drawing);
    try {
      image.src = address;
      await image.decode();
      const canvas = Object.assign(document.createElement('canvas'),
        {width: SIZE.width * SIZE.scale, height: SIZE.height * SIZE.scale});
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
      return await new Promise((done, fail) => canvas.toBlob(blob => blob ? done(blob) : fail(), 'image/png'));
    } finally {
      URL.revokeObjectURL(address);
    }
  }

  // ---- a chart of plotly's

  function redrawn(plot, card, of, format, filename) {
    const layout = structuredClone(plot.layout);
    for (const name of Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key))) {
      delete layout[name].tickfont;
      delete layout[name].title?.font;
    }
    delete layout.legend?.font;
    const signs = legend(card).map(([sign, colour, words]) => `<span style="color:${colour}">${sign}</span> ${literal(words)}`);
    layout.title = {
      text: `<b>${literal(card.querySelector('h3').textContent)}</b>`,
      subtitle: {text: signs.join('     '), font: {size: 16}},
      x: 0, xref: 'paper', xanchor: 'left', y: 0.97, yref: 'container', yanchor: 'top', font: {size: 24},
    };
    layout.font = {...layout.font, family: FONT, size: 16};
    // a legend of plotly's own stands where the chart begins
    layout.margin = {...layout.margin, l: SIDE, r: SIDE, t: layout.showlegend ? 132 : TOP, b: FOOT};
    layout.annotations = [...layout.annotations ?? [], {
      text: literal(of), showarrow: false, x: 0, xref: 'paper', xanchor: 'left', y: 0, yref: 'paper', yanchor: 'bottom',
      yshift: 10 - FOOT, font: {size: 16, color: MUTED},
    }];
    layout.paper_bgcolor = layout.plot_bgcolor = 'white';
    delete layout.height;
    return window.Plotly.downloadImage({data: plot.data, layout}, {...SIZE, format, filename});
  }

  // fails where the chart is not drawn yet, or the browser can't make the picture
  async function picture(button) {
    const {save: name, as: format = 'png'} = button.dataset;
    // a card may hold another chart in this one's place: the head's own part says what this one is
    const own = button.closest('.se-chart-head').parentElement, place = document.getElementById(name);
    const card = own.querySelector('.se-legend') ? own : button.closest('.se-chart');
    const rows = place.querySelector('.se-rows');
    if (!rows) return redrawn(place.querySelector('.js-plotly-plot'), card, origin(button), format, name);
    const drawing = draw(rows, card, origin(button));
    download(format === 'svg' ? drawing : await painted(drawing), `${name}.${format}`);
  }

  async function save(button) {
    const head = button.closest('.se-chart-head');
    head.parentElement.querySelector('.se-failure')?.remove();
    try {
      await picture(button);
    } catch {
      head.insertAdjacentHTML('afterend', FAILED);
    }
  }

  // ---- the picture of a Result, and the map: PNG, with what it is about and the date in it
  const PAINT = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap',
    'stroke-linejoin', 'opacity', 'display', 'font-size', 'font-weight'];
  const FACE = 'font-family="Arial, Helvetica, sans-serif"';

  // the drawing as it is at its end and on a light page, with all that style sheets say in itself
  function settled(figure) {
    const ghost = figure.cloneNode(true), dark = semerge.dark();
    delete ghost.dataset.stage;
    ghost.classList.add('se-ghost');
    figure.after(ghost);
    document.body.classList.remove('dark');
    const svg = ghost.querySelector('svg[role=img]');
    for (const node of svg.querySelectorAll(':not(defs *, title)')) {
      const style = getComputedStyle(node);
      node.setAttribute('style', PAINT.map(name => `${name}:${style.getPropertyValue(name)}`).join(';'));
    }
    document.body.classList.toggle('dark', dark);
    ghost.remove();
    svg.querySelectorAll('[style*="display:none"], title').forEach(node => node.remove());
    return svg;
  }

  // local, as whoever saves it reads the clock
  const today = () => new Date().toLocaleDateString('sv');

  function slide(figure) {
    const svg = settled(figure), {title, about, said} = figure.dataset, space = svg.namespaceURI;
    for (const [name, value] of [['x', 40], ['y', 96], ['width', SIZE.width - 80], ['height', 396]])
      svg.setAttribute(name, value);
    svg.setAttribute('xmlns', space);
    const line = (y, size, text, weight = 400) =>
      `<text x="40" y="${y}" ${FACE} font-size="${size}" font-weight="${weight}" fill="#16181d">${literal(text)}</text>`;
    const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
    return `<svg xmlns="${space}" width="${2 * SIZE.width}" height="${2 * SIZE.height}" viewBox="0 0 ${SIZE.width} ${SIZE.height}">`
      + `<rect width="100%" height="100%" fill="white"/>${line(46, 24, cut(title, 64), 700)}${line(74, 15, cut(`${today()}. ${about}`, 125))}`
      + `<g ${FACE}>${new XMLSerializer().serializeToString(svg)}</g>${line(522, 13, cut(said, 145))}</svg>`;
  }

  async function saveDrawing(button) {
    const figure = button.closest('figure');
    figure.querySelector('.se-failure')?.remove();
    try {
      const drawing = new Blob([slide(figure)], {type: 'image/svg+xml'});
      download(await painted(drawing), `${figure.dataset.file}-${today()}.png`);
    } catch {
      button.parentElement.insertAdjacentHTML('afterend', FAILED);
    }
  }

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-save], [data-picture]');
    if (button) (button.dataset.save ? save : saveDrawing)(button);
  });
})();
