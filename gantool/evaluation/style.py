"""The style sheet of a report, light or dark as the reader's system has it."""

STYLE = """
:root{--paper:#fbfbfa;--card:#fff;--ink:#1d2129;--soft:#5e6673;--line:#e2e4e8;--s0:#2f6fdb;--s1:#d9822b;
--good:#1c8a4d;--bad:#c92a3a;--other:#a56a00;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--paper:#15171b;--card:#1e2127;--ink:#e8eaee;--soft:#9aa3b0;--line:#33383f;
--s0:#6ea3ff;--s1:#f0a65a;--good:#55c98a;--bad:#ff7684;--other:#e0b050}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;margin:0 0 12px;letter-spacing:-.01em}h2{font-size:18px;margin:40px 0 12px}
h3{font-size:14px;margin:0 0 6px;font-weight:600}
header p,footer{color:var(--soft);font-size:13px}footer{margin-top:48px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
header p.error{color:var(--bad);font-size:15px;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:12px;margin-top:28px}
.tile,.plot,article,.wide{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}.tile h3{color:var(--soft)}.tile p{margin:0;font-size:12.5px;color:var(--soft)}
.tile .figure{font-size:30px;line-height:1.2;color:var(--ink);
font-weight:650;font-variant-numeric:tabular-nums}
.figure span{font-size:14px;font-weight:400;margin-left:6px;color:var(--soft)}.tile .about{margin-top:8px}
.plot{margin:0 0 12px;padding:12px 16px}.plot figcaption{font-size:13px;font-weight:600;margin-bottom:4px}
.plot figcaption span{margin-right:16px}.plot figcaption span::before{content:"";
display:inline-block;width:14px;
height:3px;border-radius:2px;margin-right:6px;vertical-align:middle;background:currentColor}
figcaption .s0{color:var(--s0)}figcaption .s1{color:var(--s1)}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:11px;fill:var(--soft)}svg .y,svg .name{text-anchor:end}svg .x{text-anchor:middle}
.dots text{paint-order:stroke;stroke:var(--card);stroke-width:4px}
svg .grid{stroke:var(--line)}svg line.cut{stroke:var(--soft);stroke-dasharray:3 3}
svg line.mean{stroke:var(--ink);stroke-dasharray:4 3}
polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}polyline.s0{stroke:var(--s0)}polyline.s1{stroke:var(--s1)}
rect.s0{fill:var(--s0)}line.s0{stroke:var(--s0);stroke-width:2}
circle{fill:transparent}circle:hover{fill:currentColor}circle.dot{fill:var(--s0)}circle.s0{color:var(--s0)}
circle.s1{color:var(--s1)}
article{padding:16px;margin-bottom:14px}
.panels{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start}.panels figure{margin:0;max-width:100%}
.panels figcaption{font-size:12.5px;color:var(--soft);margin-top:4px}
img{display:block;max-width:100%;height:auto;border-radius:4px}.close{image-rendering:pixelated}
.over{position:relative;--x:50%;display:inline-block;line-height:0}
.over .top{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--x)) 0 0)}
.over i{position:absolute;top:0;bottom:0;left:var(--x);width:2px;margin-left:-1px;background:#fff;
box-shadow:0 0 4px #0008}
.over input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.wide{overflow-x:auto;padding:4px 14px}table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;font-weight:500}td,th{padding:6px 14px 6px 0;border-bottom:1px solid var(--line);
vertical-align:top}
tr:last-child>*{border-bottom:0}.figures td,.figures th+th{text-align:right;font-variant-numeric:tabular-nums}
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.other{color:var(--other)}
summary{cursor:pointer;color:var(--soft);margin-bottom:10px}
"""
