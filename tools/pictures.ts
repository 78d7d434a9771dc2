import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import MarkdownIt from "markdown-it";
import { UserError } from "../model/user-error";

// Pictures of the README, as SVG: a page of Markdown, and a recording of a terminal.

/** The width of the pictures, in pixels. */
const WIDTH = 860;

const FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif";
const MONOSPACE = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";

/** The style of a page, like that of GitHub. */
const PAGE_STYLE = `
div { box-sizing: border-box; height: 100%; padding: 8px 28px; background: #fff; color: #1f2328; font: 14px/1.5 ${FONT}; }
h2 { margin: 8px 0; padding-bottom: 6px; border-bottom: 1px solid #d1d9e0; font-size: 21px; }
h3 { margin: 14px 0 6px; font-size: 16px; }
p, ul { margin: 6px 0; padding-left: 0; }
ul { padding-left: 24px; }
code { padding: 2px 5px; border-radius: 6px; background: #818b981f; font: 12px ${MONOSPACE}; }
table { border-collapse: collapse; }
th, td { padding: 4px 12px; border: 1px solid #d1d9e0; text-align: left; }
`;

/**
 * A picture of a page as GitHub shows it.
 * @param markdown - the page
 * @param height - the height of the picture, in pixels. What is longer is cut off.
 */
export function pageSvg(markdown: string, height: number): string {
  const html = new MarkdownIt({ xhtmlOut: true }).render(markdown);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">
<foreignObject width="${WIDTH}" height="${height}">
<div xmlns="http://www.w3.org/1999/xhtml">
<style>${PAGE_STYLE}</style>
${html}</div>
</foreignObject>
<rect width="${WIDTH - 1}" height="${height - 1}" x="0.5" y="0.5" rx="6" fill="none" stroke="#d1d9e0"/>
</svg>
`;
}

/** A line of a recording, and the seconds since its begin at which it was printed. */
export type RecordedLine = readonly [seconds: number, text: string];

/** The plan of an apply: it has hundreds of lines, which a recording leaves out. */
const [PLAN_BEGIN, PLAN_END] = [/^Terraform used the selected providers/, /^Plan: /];

/**
 * Runs commands in the project's folder, and writes what they print to a file in the format of asciinema, without the plan and
 * the path of the project's folder.
 * @see https://docs.asciinema.org/manual/asciicast/v2/
 * @throws UserError if a command fails; the file is then not written
 */
export async function record(commands: readonly string[], file: string): Promise<void> {
  const begin = Date.now();
  const lines: RecordedLine[] = [];
  const add = (text: string) => lines.push([Math.round(Date.now() - begin) / 1000, text]);
  let isPlan = false;
  for (const command of commands) {
    add(`$ ${command}`);
    const child = spawn(command, { shell: true, stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "close");
    for await (const printed of createInterface({ input: child.stdout })) {
      const text = stripVTControlCharacters(printed).replaceAll(`${process.cwd()}/`, "").trimEnd();
      if (PLAN_BEGIN.test(text)) {
        isPlan = true;
        add("[the plan is left out]");
      }
      isPlan &&= !PLAN_END.test(text);
      if (!isPlan) add(text);
    }
    const [status] = await ended;
    if (status !== 0) throw new UserError(`${command} failed, so nothing was recorded`);
  }
  const header = { version: 2, width: COLUMNS, height: ROWS };
  writeFileSync(file, [header, ...lines.map(([time, text]) => [time, "o", `${text}\r\n`])].map(toLine).join(""));
}

function toLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** The lines of a file that {@link record} has written. */
export function readRecording(file: string): RecordedLine[] {
  const [, ...events] = readFileSync(file, "utf8").trimEnd().split("\n");
  return events.map((event) => {
    const [time, , text] = JSON.parse(event) as [number, "o", string];
    return [time, text.trimEnd()] as const;
  });
}

/** The lines that a terminal in a picture shows at a time, and their length in characters. */
const ROWS = 26;
const COLUMNS = 104;

const LINE_HEIGHT = 18;

/** The longest wait between two lines in a picture, and the time for which the last line stays, in seconds. */
const LONGEST_WAIT = 0.6;
const LAST_WAIT = 6;

/**
 * A moving picture of a recording: waits are cut to {@link LONGEST_WAIT}, and long lines to {@link COLUMNS}.
 * A reader who wants no motion sees the end.
 * @param lines - lines that begin with `$ ` are commands
 */
export function terminalSvg(lines: readonly RecordedLine[]): string {
  const height = ROWS * LINE_HEIGHT + 24;
  let clock = 0;
  let before = 0;
  const times = lines.map(([seconds]) => {
    clock += Math.min(Math.max(seconds - before, 0.03), LONGEST_WAIT);
    before = seconds;
    return clock;
  });
  const duration = clock + LAST_WAIT;
  const offset = (shown: number) => (ROWS - shown) * LINE_HEIGHT;
  // The last line of a time decides: lines at one time are one step.
  const steps = new Map(times.map((time, index) => [((time / duration) * 100).toFixed(2), offset(index + 1)]));
  const frames = [...steps].map(([percent, y]) => `${percent}% { transform: translateY(${y}px) }`);
  const end = offset(lines.length);
  const text = lines.map(
    ([, line], index) =>
      `<text y="${(index + 1) * LINE_HEIGHT}"${line.startsWith("$ ") ? ' class="command"' : ""}>${xml(cut(line))}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">
<style>
text { font: 13px ${MONOSPACE}; fill: #d1d7e0; white-space: pre; }
.command { fill: #7ee787; font-weight: bold; }
.lines { transform: translateY(${end}px); animation: lines ${duration.toFixed(1)}s step-end infinite; }
@keyframes lines { 0% { transform: translateY(${offset(0)}px) } ${frames.join(" ")} 100% { transform: translateY(${end}px) } }
@media (prefers-reduced-motion: reduce) { .lines { animation: none } }
</style>
<rect width="${WIDTH}" height="${height}" rx="8" fill="#0d1117"/>
<svg x="14" y="10" width="${WIDTH - 28}" height="${height - 20}">
<g class="lines">
${text.join("\n")}
</g>
</svg>
</svg>
`;
}

function cut(line: string): string {
  return line.length > COLUMNS ? `${line.slice(0, COLUMNS - 1)}…` : line;
}

function xml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
