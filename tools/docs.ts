import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "cdktf";
import { ClusterStack } from "../constructs";
import { COMPONENTS } from "../kubernetes/machine";
import { liveFiles, nodeFiles } from "../model/layout";
import { UserError } from "../model/user-error";
import { readOrEmpty } from "../review/base";
import type { Document } from "../review/compare";
import { renderDiagram } from "../review/diagram";
import { FINDINGS, KINDS } from "../review/kinds";
import { reportJsonSchema } from "../review/report";
import { parseSettings } from "../settings/load";
import { TUTORIAL } from "../settings/presets";
import { settingsJsonSchema } from "../settings/schema";
import { pageSvg, readRecording, record, terminalSvg } from "./pictures";
import { parseOptions, runProgram } from "./program";

const ROOT = join(__dirname, "..");

/** A JSON schema, as far as the settings' has it. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly allowed?: string;
  readonly properties?: Record<string, Schema>;
  readonly items?: Schema;
  readonly required?: readonly string[];
}

/** A picture in a page, after a comment that names the command which writes it. */
const PICTURE = /(?<=<!-- [^>]*npm run docs[^>]* -->\n```mermaid\n).*?(?=```)/s;

/** A table in a page, after a comment that names its source. */
const TABLE = /(?<=<!-- [^>]*npm run docs[^>]* -->\n\n)(\|[^\n]*\n)*/g;

/** The files that are generated, completely or in part: their content by their path from the project's folder. */
export function generatedFiles(): Record<string, string> {
  const picture = renderDiagram(defaultCluster());
  const schema = withDefaults(settingsJsonSchema() as Schema, TUTORIAL);
  return {
    "docs/images/deploy.svg": terminalSvg(readRecording(RECORDING)),
    "docs/images/review.svg": pageSvg(pageOfAnUpgrade(), 850),
    "docs/certificates.md": withTables("docs/certificates.md", restartTable()),
    "docs/kubernetes.md": withTables("docs/kubernetes.md", programTable(), liveTable()),
    "docs/outputs.md": readOrEmpty(join(ROOT, "docs/outputs.md")).replace(PICTURE, () => picture),
    "docs/part-2.md": withTables("docs/part-2.md", placeTable()),
    "docs/review.schema.json": `${JSON.stringify(reportJsonSchema(), null, 2)}\n`,
    "docs/reviewing.md": withTables("docs/reviewing.md", findingTable()),
    "docs/settings.md": withTables("docs/settings.md", settingsTable(schema)),
    "docs/settings.schema.json": `${JSON.stringify(forEditors(schema), null, 2)}\n`,
  };
}

/** The tutorial's cluster, whatever settings a user has written into cdktf.json. */
function defaultCluster(): Document {
  const settings = parseSettings({});
  const outdir = mkdtempSync(join(tmpdir(), "docs-"));
  try {
    const app = new App({ stackTraces: false, outdir });
    new ClusterStack(app, settings.name, settings);
    app.synth();
    return JSON.parse(readFileSync(join(outdir, "stacks", settings.name, "cdk.tf.json"), "utf8"));
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** The recording of a deploy, which `npm run docs -- --record` makes. */
const RECORDING = join(ROOT, "docs/images/deploy.cast");

/** The commands of the recording. */
const RECORDED = ["npm run cloud -- deploy -auto-approve", "npm run cloud -- status"];

/** The page of a change of a running cluster, without its folded lists. A test of the review keeps it. */
function pageOfAnUpgrade(): string {
  const page = readOrEmpty(join(ROOT, "__tests__/review/review-pages/kubernetes-version.md"));
  return page.split("\n\n<details>")[0] as string;
}

/** A page with its generated tables, in their order on the page. */
function withTables(path: string, ...tables: readonly string[]): string {
  const rest = tables.values();
  return readOrEmpty(join(ROOT, path)).replace(TABLE, (before) => rest.next().value ?? before);
}

/** The files of a control plane machine and of a worker, each with the kind of machine. */
function filesByMachine<T>(
  filesOf: (node: Parameters<typeof nodeFiles>[0]) => readonly T[],
): (T & { readonly machine: string })[] {
  return [
    ...filesOf({ role: "master", name: "NAME-master-i" }).map((file) => ({ ...file, machine: "control plane" })),
    ...filesOf({ role: "worker", name: "NAME-worker-i" }).map((file) => ({ ...file, machine: "worker" })),
  ];
}

/** The programs to restart for each new file. */
function restartTable(): string {
  return table(
    ["machine", "new file", "restart"],
    filesByMachine(nodeFiles).map(({ machine, fileName, readBy }) => [
      machine,
      code(fileName),
      readBy.join(", ") || "nothing: a person uses it",
    ]),
  );
}

/** The place of each file, and the programs that read it there. */
function placeTable(): string {
  return table(
    ["machine", "file", "place", "read by"],
    filesByMachine(nodeFiles)
      .filter(({ places }) => places.length > 0)
      .map(({ machine, fileName, places, readBy }) => [
        machine,
        code(fileName),
        places.map(code).join(", "),
        readBy.join(", "),
      ]),
  );
}

/** The place of each file where the apply installs Kubernetes, and the users that can read it. */
function liveTable(): string {
  return table(
    ["machine", "file", "mode", "owner", "read by"],
    filesByMachine(liveFiles).map(({ machine, path, mode, owner, readBy }) => [
      machine,
      code(path),
      mode,
      owner,
      readBy.join(", ") || "the scripts of the apply",
    ]),
  );
}

/** The programs that run on the machines of a cluster with Kubernetes, with their users and ports. */
function programTable(): string {
  return table(
    ["machine", "unit", "user", "port", "for"],
    COMPONENTS.flatMap(({ name, role, user, ports }) =>
      (ports.length > 0 ? ports : [["", ""]]).map(([port = "", clients = ""], index) => [
        index > 0 ? "" : role === "master" ? "control plane" : "worker",
        index > 0 ? "" : code(name),
        index > 0 ? "" : user,
        port,
        clients,
      ]),
    ),
  );
}

/** The kinds of findings of a review. The links lead from a page beside the others. */
function findingTable(): string {
  return table(
    ["kind", "level", "meaning"],
    KINDS.map((kind) => {
      const { level, text, docs } = FINDINGS[kind];
      const link = docs === undefined ? "" : ` ([more](${docs.replace("docs/", "")}))`;
      return [code(kind), level, `${text}${link}`];
    }),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map(cell).join(" | ")} |\n`).join("");
}

function code(text: string): string {
  return `\`${text}\``;
}

/** The paths of the generated files that are not up to date. */
export function staleFiles(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files)
    .filter(([path, content]) => readOrEmpty(join(ROOT, path)) !== content)
    .map(([path]) => path);
}

/** The schema of the settings that a person writes: only groups that the preset does not have require a setting. */
function withDefaults({ required, ...rest }: Schema, preset: unknown): Schema {
  const value = preset as Record<string, unknown> | undefined;
  const schema = { ...rest, ...(preset === undefined && required !== undefined && { required }) };
  if (schema.properties === undefined) return preset === undefined ? schema : { default: preset, ...schema };
  const properties = Object.entries(schema.properties).map(([key, inner]) => [key, withDefaults(inner, value?.[key])]);
  return { ...schema, properties: Object.fromEntries(properties) };
}

/** Each setting with its allowed values, its default and its description. */
function settingsTable(schema: Schema): string {
  return table(
    ["setting", "must be", "default", "description"],
    leaves(schema, "").map(([name, { allowed = "", default: value, description = "" }]) => [
      code(name),
      allowed,
      value === undefined ? "" : code(JSON.stringify(value)),
      description,
    ]),
  );
}

/** Every setting that holds a value, with its path. */
function leaves(schema: Schema, path: string): [string, Schema][] {
  const inner = Object.entries(schema.properties ?? {})
    .filter(([key]) => key !== "$schema")
    .flatMap(([key, property]) => leaves(property, path === "" ? key : `${path}.${key}`));
  const ofElements = schema.items?.properties === undefined ? [] : leaves(schema.items, `${path}.N`);
  return schema.properties === undefined ? [[path, schema], ...ofElements] : inner;
}

/** The schema for editors: the allowed values are a part of the description, which editors show. */
function forEditors(schema: Schema): object {
  const { allowed, description, properties, items, ...rest } = schema;
  return {
    ...rest,
    ...(description !== undefined && { description }),
    ...(allowed !== undefined && { description: [description, `Must be ${allowed}.`].filter(Boolean).join(" ") }),
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, forEditors(inner)])),
    }),
    ...(items !== undefined && { items: forEditors(items) }),
  };
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

const USAGE = `npm run docs [-- --check | --record]    writes the generated pages and pictures

  --check     only report files that are not up to date, with exit status 1
  --record    first record a deploy in the emulated cloud, which must be up and empty`;

async function main(args: string[]): Promise<number> {
  const { values } = parseOptions(args, { check: { type: "boolean" }, record: { type: "boolean" } });
  if (values.record) await record(RECORDED, RECORDING);
  const files = generatedFiles();
  const stale = staleFiles(files);
  if (values.check && stale.length > 0) {
    throw new UserError(`not up to date: ${stale.join(", ")}; run \`npm run docs\``);
  }
  for (const path of stale) writeFileSync(join(ROOT, path), files[path] as string);
  return 0;
}

if (require.main === module) runProgram({ name: "docs", usage: USAGE, main });
