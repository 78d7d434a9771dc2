import json2md from "json2md";
import { readDistributionScript } from "../model/distribution";
import { type Action, type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";
import { META } from "./effects";
import { describeFinding, type Finding, findingsOf, listAddresses } from "./findings";

/** The largest number of characters of a value, and of a command that runs on a machine. */
const VALUE_LENGTH = 80;
const COMMAND_LENGTH = 2000;

/** The largest number of rows in a table. After the table, the page has the number of the other rows. */
const ROWS = 60;

/** The number of equal characters that a page shows before the first difference of two values. */
const CONTEXT = 20;

/** The words for each action, in the order in which a page counts them. */
const ACTIONS: Readonly<Record<Action, string>> = {
  create: "added",
  update: "changed in place",
  restart: "restarted",
  replace: "replaced",
  destroy: "destroyed",
  forget: "removed from the state",
  none: "without effect",
};

/** The words for Terraform's reasons. */
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "because an earlier apply did not finish it",
  replace_because_cannot_update: "because it cannot change in place",
  replace_by_request: "because of `-replace`",
  replace_by_triggers: "because of its `replace_triggered_by`",
  imported: "imported",
  delete_because_no_resource_config: "because the configuration no longer declares it",
};

/** The largest number of resources whose list is open at first. A longer list is folded. */
const OPEN_RESOURCES = 12;

/** The largest length of a page in characters. A comment on GitHub may have 65536, and a picture may follow the page. */
const PAGE_LENGTH = 55_000;

/** The page for a pull request, in Markdown. It has the number of the rows and resources that do not fit into a comment. */
export function renderPage(changes: Changes): string {
  const { resources, copies, elsewhere } = changes;
  const findings = findingsOf(changes);
  const head = markdown([
    { h2: "Changes in the cluster" },
    { p: verdict(changes, findings) },
    ...section(findings.length > 0, "Findings", [
      {
        ul: findings.map(describeFinding),
      },
    ]),
    ...section(resources.length > 0, "Counts", [countTable(resources)]),
    ...section(copies.length > 0, "Copied files", [
      table(
        ["copy", "file", "change"],
        copies.slice(0, ROWS).map(({ address, file, change }) => [code(address), code(file), change]),
      ),
      ...omittedRows(copies),
    ]),
    ...section(elsewhere.length > 0, "Outside of resources", [
      argumentTable(elsewhere.slice(0, ROWS), false),
      ...omittedRows(elsewhere),
    ]),
  ]);
  if (resources.length === 0) return `${head}\n`;
  return `${head}\n\n${resourceDetails(resources, PAGE_LENGTH - head.length)}\n`;
}

/** The line with the number of rows that a table omits. */
function omittedRows(rows: readonly unknown[]): json2md.DataObject[] {
  return rows.length > ROWS ? [{ p: `and ${rows.length - ROWS} more: \`--format json\` lists all` }] : [];
}

/** The list of resources. It omits resources that do not fit into `room` characters. */
function resourceDetails(resources: readonly ResourceChange[], room: number): string {
  const blocks: string[] = [];
  for (const block of resources.map((change) => markdown(resourceBlocks(change)))) {
    room -= block.length + 2;
    if (room < 0) break;
    blocks.push(block);
  }
  const rest = resources.length - blocks.length;
  if (rest > 0) blocks.push(`and ${rest} more: \`--format json\` lists all`);
  const open = resources.length <= OPEN_RESOURCES ? " open" : "";
  return [`<details${open}><summary>Resources</summary>`, ...blocks, "</details>"].join("\n\n");
}

/** Markdown in which a value cannot add an HTML comment. By such a comment, the workflows find their pull request comment. */
function markdown(blocks: json2md.DataObject[]): string {
  return json2md(blocks, "")
    .replaceAll("<!--", "<\u2060!--")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

/** The summary in one line. */
function verdict({ resources, elsewhere }: Changes, findings: readonly Finding[]): string {
  if (resources.length === 0 && elsewhere.length === 0) return "**Nothing changes.**";
  const counts = (Object.keys(ACTIONS) as Action[])
    .map((action) => ({ action, count: resources.filter((change) => change.action === action).length }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${ACTIONS[action]}`);
  const summary = counts.length === 0 ? "no resource changes" : counts.join(", ");
  const kinds = findings.length === 0 ? "No findings" : `Findings: ${findings.map(({ kind }) => kind).join(", ")}`;
  return `**${kinds}.** ${sentence(summary)}.`;
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
  const listed = Object.entries(settings).filter(
    ([path, value]) => PROVISIONER.test(path) || (!META.test(path) && isLiteral(value)),
  );
  const title = [
    `${code(address)}: ${ACTIONS[action]}`,
    ...(because.length > 0 ? [`because of ${listAddresses(because)}`] : []),
    ...(reason === undefined ? [] : [REASONS[reason] ?? code(reason)]),
    ...(movedFrom === undefined ? [] : [`moved from ${code(movedFrom)}`]),
    ...(renamedFrom === undefined ? [] : [`equal to ${code(renamedFrom)}, which is destroyed`]),
  ].join(", ");
  return [
    { p: title },
    ...(action === "create" && listed.length > 0
      ? [
          {
            p: listed
              .map(([path, value]) => `${code(path)} ${differing("", shown(value), lengthOf(path))[1]}`)
              .join(", "),
          },
        ]
      : []),
    ...(changed.length > 0 ? [argumentTable(changed, true)] : []),
  ];
}

/** Whether a value is a literal that is not empty. A reference to another resource is not a literal. */
function isLiteral(value: unknown): boolean {
  return value !== null && !/^(""|\[\]|\{\}|.*\$\{.*)$/.test(JSON.stringify(value));
}

function argumentTable(changes: readonly ArgumentChange[], withEffect: boolean): json2md.DataObject {
  const rows = changes.map(({ path, before, after, action, note }) => [
    code(path),
    ...differing(shown(before), shown(after), lengthOf(path)),
    [withEffect ? ACTIONS[action] : "", note].filter(Boolean).join("; "),
  ]);
  return table(["argument", "before", "after", "effect"], rows);
}

/** The arguments that run commands or write files on a machine. */
const PROVISIONER = /^provisioner/;

function lengthOf(path: string): number {
  return PROVISIONER.test(path) ? COMMAND_LENGTH : VALUE_LENGTH;
}

/** A value in the form that a page shows: a distribution script as its files and commands, a bundle as its lines. */
function shown(value: unknown): unknown {
  if (typeof value === "string" && value.includes("\n")) return value.split("\n").filter((line) => line !== "");
  const script = Array.isArray(value) ? readDistributionScript(value) : undefined;
  if (script === undefined) return value;
  return [...script.files.map(({ mode, owner, path }) => `${mode} ${owner} ${path}`), ...script.activate];
}

/** The lines that only the first of two lists has. Other values stay as they are. */
function onlyIn(value: unknown, other: unknown): unknown {
  const areLists = [value, other].every(
    (each) => Array.isArray(each) && each.every((line) => typeof line === "string"),
  );
  return areLists ? (value as string[]).filter((line) => !(other as string[]).includes(line)) : value;
}

/** The text of two values in cells. If a text is long, the common beginning is cut. */
function differing(before: unknown, after: unknown, length: number): string[] {
  const [removed, added] = [onlyIn(before, after), onlyIn(after, before)];
  const isReordered = Array.isArray(removed) && removed.length === 0 && (added as unknown[]).length === 0;
  const shown = isReordered ? [before, after] : [removed, added];
  const [textBefore, textAfter] = shown.map((value) => {
    if (value === undefined) return "";
    return (typeof value === "string" ? value : JSON.stringify(value)).replaceAll("\n", "\\n");
  }) as [string, string];
  let equal = 0;
  while (equal < textBefore.length && textBefore[equal] === textAfter[equal]) equal++;
  const from = Math.max(textBefore.length, textAfter.length) > length ? Math.max(0, equal - CONTEXT) : 0;
  return [textBefore, textAfter].map((text) => {
    if (text === "") return "";
    const end = Math.min(from + length, text.length);
    return code(`${from > 0 ? "…" : ""}${text.slice(from, end)}${end < text.length ? "…" : ""}`);
  });
}

/** A table. Every bar in its cells is escaped. */
function table(headers: readonly string[], rows: readonly (readonly string[])[]): json2md.DataObject {
  return { table: { headers: [...headers], rows: rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|"))) } };
}

/** Text as code, between more backticks than it contains. */
function code(text: string): string {
  const fence = "`".repeat(Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length)) + 1);
  const pad = fence.length > 1 ? " " : "";
  return `${fence}${pad}${text}${pad}${fence}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
