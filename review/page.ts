import json2md from "json2md";
import { readDistributionScript } from "../model/distribution";
import { type Action, type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";
import { META } from "./effects";
import { type Concern, concernsOf, describeConcern, named } from "./findings";

/** How much of a value a page shows, in characters; of what runs on machines, more. */
const VALUE_LENGTH = 80;
const COMMAND_LENGTH = 2000;

/** How many rows a table has before the rest is counted. */
const ROWS = 60;

/** How much of what two values have in common is shown before they differ, in characters. */
const CONTEXT = 20;

/** What each action is called, in the order in which a page counts them. */
const ACTIONS: Readonly<Record<Action, string>> = {
  create: "added",
  update: "changed in place",
  restart: "restarted",
  replace: "replaced",
  destroy: "destroyed",
  forget: "left behind, unmanaged",
  none: "without effect",
};

/** Why Terraform does what it does, by its own word for it. */
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "which an earlier apply left unfinished",
  replace_because_cannot_update: "since it cannot change in place",
  replace_by_request: "as `-replace` asks",
  replace_by_triggers: "by its `replace_triggered_by`",
  imported: "taken over as it is",
  delete_because_no_resource_config: "since nothing declares it any more",
};

/** How many resources are listed openly; more are folded, to be opened. */
const OPEN = 12;

/** How long a page may be, in characters: a comment on GitHub takes 65536, and a picture may follow. */
const PAGE_LENGTH = 55_000;

/** The page for a pull request, in Markdown. What does not fit a comment is counted. */
export function renderPage(changes: Changes): string {
  const { resources, copies, elsewhere } = changes;
  const concerns = concernsOf(changes);
  const head = markdown([
    { h2: "What changes in the cluster" },
    { p: verdict(changes, concerns) },
    ...section(concerns.length > 0, "What to look at", [
      {
        ul: concerns.map(describeConcern),
      },
    ]),
    ...section(resources.length > 0, "Counts", [countTable(resources)]),
    ...section(copies.length > 0, "What is copied to whom", [
      table(
        ["copy", "file", "change"],
        copies.slice(0, ROWS).map(({ address, file, change }) => [code(address), code(file), change]),
      ),
      ...more(copies),
    ]),
    ...section(elsewhere.length > 0, "Outside of resources", [
      argumentTable(elsewhere.slice(0, ROWS), false),
      ...more(elsewhere),
    ]),
  ]);
  if (resources.length === 0) return `${head}\n`;
  return `${head}\n\n${folded(resources, PAGE_LENGTH - head.length)}\n`;
}

/** What says that a table leaves rows out. */
function more(rows: readonly unknown[]): json2md.DataObject[] {
  return rows.length > ROWS ? [{ p: `and ${rows.length - ROWS} more: \`--format json\` lists all` }] : [];
}

/** The list of resources, as many as there is room for. */
function folded(resources: readonly ResourceChange[], room: number): string {
  const blocks: string[] = [];
  for (const block of resources.map((change) => markdown(resourceBlocks(change)))) {
    room -= block.length + 2;
    if (room < 0) break;
    blocks.push(block);
  }
  const rest = resources.length - blocks.length;
  if (rest > 0) blocks.push(`and ${rest} more: \`--format json\` lists all`);
  const open = resources.length <= OPEN ? " open" : "";
  return [`<details${open}><summary>Resources</summary>`, ...blocks, "</details>"].join("\n\n");
}

/** Markdown in which no value is taken for a comment of HTML, by which others find their own. */
function markdown(blocks: json2md.DataObject[]): string {
  return json2md(blocks, "")
    .replaceAll("<!--", "<\u2060!--")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

/** One line that says it all. */
function verdict({ resources, elsewhere }: Changes, concerns: readonly Concern[]): string {
  if (resources.length === 0 && elsewhere.length === 0) return "**Nothing changes.**";
  const counts = (Object.keys(ACTIONS) as Action[])
    .map((action) => ({ action, count: resources.filter((change) => change.action === action).length }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${ACTIONS[action]}`);
  const summary = counts.length === 0 ? "no resource changes" : counts.join(", ");
  const look = concerns.length === 0 ? "Nothing stands out" : `Look at: ${concerns.map(({ kind }) => kind).join(", ")}`;
  return `**${look}.** ${sentence(summary)}.`;
}

function section(wanted: boolean, title: string, blocks: json2md.DataObject[]): json2md.DataObject[] {
  return wanted ? [{ h3: title }, ...blocks] : [];
}

function countTable(resources: readonly ResourceChange[]): json2md.DataObject {
  const types = [...new Set(resources.map(({ address }) => typeOf(address)))].sort();
  const actions = (Object.keys(ACTIONS) as Action[]).filter((action) =>
    resources.some((change) => change.action === action),
  );
  const rows = types.map((type) => [
    code(type),
    ...actions.map((action) => {
      const count = resources.filter((change) => typeOf(change.address) === type && change.action === action).length;
      return count === 0 ? "" : String(count);
    }),
  ]);
  return table(["type", ...actions.map((action) => ACTIONS[action])], rows);
}

function resourceBlocks(change: ResourceChange): json2md.DataObject[] {
  const { address, action, arguments: changed, because, reason, movedFrom, renamedFrom, settings } = change;
  const told = Object.entries(settings).filter(
    ([path, value]) => RUN.test(path) || (!META.test(path) && isLiteral(value)),
  );
  const title = [
    `${code(address)}: ${ACTIONS[action]}`,
    ...(because.length > 0 ? [`because of ${named(because)}`] : []),
    ...(reason === undefined ? [] : [REASONS[reason] ?? code(reason)]),
    ...(movedFrom === undefined ? [] : [`moved from ${code(movedFrom)}`]),
    ...(renamedFrom === undefined ? [] : [`equal to ${code(renamedFrom)}, which goes`]),
  ].join(", ");
  return [
    { p: title },
    ...(action === "create" && told.length > 0
      ? [
          {
            p: told
              .map(([path, value]) => `${code(path)} ${differing("", shown(value), lengthOf(path))[1]}`)
              .join(", "),
          },
        ]
      : []),
    ...(changed.length > 0 ? [argumentTable(changed, true)] : []),
  ];
}

/** Whether a value is known, and says something: neither empty nor a reference to another resource. */
function isLiteral(value: unknown): boolean {
  return value !== null && !/^(""|\[\]|\{\}|.*\$\{.*)$/.test(JSON.stringify(value));
}

function argumentTable(changes: readonly ArgumentChange[], withEffect: boolean): json2md.DataObject {
  const rows = changes.map(({ path, before, after, action, note }) => [
    code(path),
    ...differing(shown(before), shown(after), lengthOf(path)),
    [withEffect ? ACTIONS[action] : "", note].filter(Boolean).join("; "),
  ]);
  return table(["argument", "before", "after", "does"], rows);
}

/** What is run or written on a machine. */
const RUN = /^provisioner/;

function lengthOf(path: string): number {
  return RUN.test(path) ? COMMAND_LENGTH : VALUE_LENGTH;
}

/** A value as the page shows it: of a file distribution's script the files and commands, of a bundle its lines. */
function shown(value: unknown): unknown {
  if (typeof value === "string" && value.includes("\n")) return value.split("\n").filter((line) => line !== "");
  const script = Array.isArray(value) ? readDistributionScript(value) : undefined;
  if (script === undefined) return value;
  return [...script.files.map(({ mode, owner, path }) => `${mode} ${owner} ${path}`), ...script.activate];
}

/** Of two lists of text what only one of them has; other values as they are. */
function onlyIn(value: unknown, other: unknown): unknown {
  const areLists = [value, other].every(
    (each) => Array.isArray(each) && each.every((line) => typeof line === "string"),
  );
  return areLists ? (value as string[]).filter((line) => !(other as string[]).includes(line)) : value;
}

/** Two values as far as a cell shows them: what long ones begin with alike is left out. */
function differing(before: unknown, after: unknown, length: number): string[] {
  const reordered = onlyIn(before, after);
  const same = Array.isArray(reordered) && reordered.length === 0 && (onlyIn(after, before) as unknown[]).length === 0;
  const shown = same ? [before, after] : [reordered, onlyIn(after, before)];
  const [old, fresh] = shown.map((value) => {
    if (value === undefined) return "";
    return (typeof value === "string" ? value : JSON.stringify(value)).replaceAll("\n", "\\n");
  }) as [string, string];
  let alike = 0;
  while (alike < old.length && old[alike] === fresh[alike]) alike++;
  const from = Math.max(old.length, fresh.length) > length ? Math.max(0, alike - CONTEXT) : 0;
  return [old, fresh].map((text) => {
    if (text === "") return "";
    const end = Math.min(from + length, text.length);
    return code(`${from > 0 ? "…" : ""}${text.slice(from, end)}${end < text.length ? "…" : ""}`);
  });
}

/** A table whose cells no bar ends before time. */
function table(headers: readonly string[], rows: readonly (readonly string[])[]): json2md.DataObject {
  return { table: { headers: [...headers], rows: rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|"))) } };
}

/** Text as code, with more backticks around it than it has. */
function code(text: string): string {
  const fence = "`".repeat(Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length)) + 1);
  const pad = fence.length > 1 ? " " : "";
  return `${fence}${pad}${text}${pad}${fence}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
