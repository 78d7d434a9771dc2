import json2md from "json2md";
import type { Action, ArgumentChange, Changes, ResourceChange } from "./changes";
import { concernsOf, describeConcern, named } from "./concerns";
import { META } from "./effects";

/** How much of a value a page shows, in characters. */
const VALUE_LENGTH = 80;

/** How much of what two values have in common is shown before they differ, in characters. */
const CONTEXT = 20;

/** What each action is called, in the order in which a page counts them. */
const ACTIONS: Readonly<Record<Action, string>> = {
  create: "added",
  update: "changed in place",
  restart: "restarted",
  replace: "replaced",
  destroy: "destroyed",
  none: "without effect",
};

/** Why Terraform does what it does, by its own word for it. */
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "which an earlier apply left unfinished",
  replace_because_cannot_update: "since it cannot change in place",
  replace_by_request: "as `-replace` asks",
  replace_by_triggers: "by its `replace_triggered_by`",
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
    { p: verdict(changes) },
    ...section(concerns.length > 0, "What to look at", [
      {
        ul: concerns.map(describeConcern),
      },
    ]),
    ...section(resources.length > 0, "Counts", [countTable(resources)]),
    ...section(copies.length > 0, "What is copied to whom", [
      table(
        ["copy", "file", "change"],
        copies.map(({ address, file, change }) => [code(address), code(file), change]),
      ),
    ]),
    ...section(elsewhere.length > 0, "Outside of resources", [argumentTable(elsewhere, false)]),
  ]);
  if (resources.length === 0) return `${head}\n`;
  return `${head}\n\n${folded(resources, PAGE_LENGTH - head.length)}\n`;
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

function markdown(blocks: json2md.DataObject[]): string {
  return json2md(blocks, "")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

/** One line that says it all. */
export function verdict(changes: Changes): string {
  const { resources, elsewhere } = changes;
  const concerns = concernsOf(changes);
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
  const told = Object.entries(settings).filter(([path, value]) => !META.test(path) && isLiteral(value));
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
      ? [{ p: told.map(([path, value]) => `${code(path)} ${differing("", value)[1]}`).join(", ") }]
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
    ...differing(before, after),
    [withEffect ? ACTIONS[action] : "", note].filter(Boolean).join("; "),
  ]);
  return table(["argument", "before", "after", "does"], rows);
}

/** Two values as far as a cell shows them: what long ones begin with alike is left out. */
function differing(before: unknown, after: unknown): string[] {
  const [old, fresh] = [before, after].map((value) => {
    if (value === undefined) return "";
    return (typeof value === "string" ? value : JSON.stringify(value)).replaceAll("\n", "\\n");
  }) as [string, string];
  let alike = 0;
  while (alike < old.length && old[alike] === fresh[alike]) alike++;
  const from = Math.max(old.length, fresh.length) > VALUE_LENGTH ? Math.max(0, alike - CONTEXT) : 0;
  return [old, fresh].map((text) => {
    if (text === "") return "";
    const end = text.length > from + VALUE_LENGTH ? from + VALUE_LENGTH : text.length;
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

function typeOf(address: string): string {
  return address.split(".")[0] as string;
}
