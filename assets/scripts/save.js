// Saves a chart as a picture of a slide's size, PNG or SVG: dark on white in either theme, with the
// heading and the legend in it.
(() => {
  const SIZE = {width: 960, height: 540, scale: 2}; // 1920 x 1080
  const SIGNS = { // class of a legend's sign -> how it looks in the chart, and its colour there
    after: ['■', '#0072B2'], rest: ['■', '#9AA3B0'], before: ['┃', '#D55E00'],
    se: ['●', '#0072B2'], static: ['◆', '#D55E00'], base: ['○', '#9AA3B0'], expert: ['┃', '#16181D'],
    exact: ['○', '#16181D'], other: ['□', '#9AA3B0'],
  };

  const FAILED = '<p class="se-failure" role="alert">The picture could not be made; try again in a moment.</p>';

  const literal = text => text.replace(/[&<>]/g, sign => `&#${sign.codePointAt(0)};`);

  function legend(card) {
    return [...card.querySelectorAll('.se-legend > span')].map(key => {
      const [sign, colour] = SIGNS[key.querySelector('i')?.className] ?? ['', ''];
      return `<span style="color:${colour}">${sign}</span> ${literal(key.textContent.trim())}`;
    }).join('     ');
  }

  // fails where the chart is not drawn yet, or the browser can't make the picture
  async function picture(button) {
    const plot = document.querySelector(`#${button.dataset.save} .js-plotly-plot`);
    const card = button.closest('.se-chart');
    const layout = structuredClone(plot.layout);
    for (const name of Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key))) {
      delete layout[name].tickfont;
      delete layout[name].title?.font;
    }
    delete layout.legend?.font;
    layout.title = {
      text: `<b>${literal(card.querySelector('h3').textContent)}</b>`,
      subtitle: {text: legend(card), font: {size: 16}},
      x: 0, xref: 'paper', xanchor: 'left', y: 0.97, yref: 'container', yanchor: 'top', font: {size: 24},
    };
    // a font that every machine has, so that the picture needs no file beside it
    layout.font = {...layout.font, family: 'Arial, Helvetica, sans-serif', size: 16};
    // a legend of plotly's own stands where the chart begins
    layout.margin = {...layout.margin, l: 40, r: 40, t: layout.showlegend ? 132 : 96, b: 56};
    layout.paper_bgcolor = layout.plot_bgcolor = 'white';
    delete layout.height;
    const format = button.dataset.as ?? 'png';
    await window.Plotly.downloadImage({data: plot.data, layout},
      {...SIZE, format, filename: button.dataset.save});
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

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-save]');
    if (button) save(button);
  });
})();
