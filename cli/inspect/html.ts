/** The inspection as one HTML file that needs nothing else: no script, nothing fetched, every text escaped. */
import { inert } from '../render.ts';
import type { Inspection, ReportTable } from './report.ts';

const STYLE = `body{font:14px/1.45 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#1c2733}
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.8em 0 .4em}p{margin:.2em 0;color:#5b6b7a}
h1.good{color:#1b7f3b}h1.degraded{color:#a86400}h1.broken{color:#b3261e}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #dde4ea;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600;color:#5b6b7a;white-space:nowrap}tr.degraded td{background:#fff4de}tr.broken td{background:#fde7e5}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}`;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** Also of controls of writing direction, which turn around what follows them. */
const escape = (text: string): string => inert(text).replace(/[&<>"']/g, character => ENTITIES[character]!);

function section({ title, columns, rows, nothing }: ReportTable): string {
  const head = `<h2>${escape(title)}</h2>`;
  if (rows.length === 0) return `${head}\n<p>${escape(nothing)}</p>`;
  const lines = rows.map(({ cells, mark }) => `<tr class="${mark}">${cells.map(cell => `<td>${escape(cell)}</td>`).join('')}</tr>`);
  return `${head}\n<table><thead><tr>${columns.map(column => `<th>${escape(column)}</th>`).join('')}</tr></thead>\n<tbody>\n${lines.join('\n')}\n</tbody></table>`;
}

export function inspectionHtml({ title, subtitle, mark, tables }: Inspection): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>${escape(title)}</title>
<style>${STYLE}</style></head>
<body><h1 class="${mark}">${escape(title)}</h1><p>${escape(subtitle)}</p>
${tables.map(section).join('\n')}
</body></html>
`;
}
