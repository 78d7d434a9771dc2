import { createHash } from "node:crypto";
import { findNodeAtLocation, parseTree } from "jsonc-parser";
import type { Log, ReportingDescriptor, Result } from "sarif";
import { printable } from "../model/printable";
import type { Finding } from "./findings";
import { FINDINGS, KINDS } from "./kinds";

/** The file with the settings of a version of the project. */
export interface SettingsFile {
  /** Its path from the top of the repository. */
  readonly path: string;
  readonly text: string;
}

/** The parts of a document that do not come from the findings. */
export interface SarifOptions {
  /** The file that each result is about: nothing else that a person writes leads to an address in Terraform. */
  readonly settings: SettingsFile;
  /** The text of the file before. @default - not known */
  readonly before?: string;
  /** The category of the results: GitHub replaces only results of the same one. */
  readonly category: "comparison" | "plan";
  /** The address of the folder in which the project's docs are, with a slash at the end. @default - rules have no links */
  readonly project?: string;
}

/**
 * Findings as SARIF 2.1.0, with the properties that GitHub's code scanning requires: a rule for each kind, and a result for each
 * address of a finding.
 */
export function sarifOf(findings: readonly Finding[], options: SarifOptions): Log {
  const { settings, category, project } = options;
  const startLine = lineOf(options);
  const results = findings.flatMap(({ kind, addresses, details = {}, notes = [] }): Result[] => {
    const text = [FINDINGS[kind].text, ...notes].join(". ");
    return (addresses.length === 0 ? [undefined] : addresses).map((address) => {
      const detail = address !== undefined && Object.hasOwn(details, address) ? ` (${details[address]})` : "";
      return {
        ruleId: kind,
        ruleIndex: KINDS.indexOf(kind),
        level: FINDINGS[kind].level,
        message: { text: plain(address === undefined ? text : `${address}${detail}: ${text}`) },
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: settings.path.split("/").map(encodeURIComponent).join("/") },
              region: { startLine },
            },
            ...(address !== undefined && {
              logicalLocations: [{ fullyQualifiedName: printable(address), kind: "resource" }],
            }),
          },
        ],
        // The only fingerprint that GitHub reads. The same finding of the same resource is the same alert, on any line.
        partialFingerprints: { primaryLocationLineHash: fingerprint(settings.path, kind, address) },
      };
    });
  });
  return {
    $schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "npm run review", rules: KINDS.map((kind) => rule(kind, project)) } },
        // Another file with settings is another cluster.
        automationDetails: { id: `review/${category}/${settings.path}/` },
        results,
      },
    ],
  };
}

function rule(kind: (typeof KINDS)[number], project: string | undefined): ReportingDescriptor {
  const { level, text, docs } = FINDINGS[kind];
  const description = { text: text.charAt(0).toUpperCase() + text.slice(1) };
  const page = docs ?? "docs/reviewing.md#as-a-gate";
  const link = project === undefined ? page : `[${page}](${project}${page})`;
  return {
    id: kind,
    shortDescription: description,
    fullDescription: description,
    help: { text: `${description.text}. See ${page}.`, markdown: `${description.text}. See ${link}.` },
    ...(project !== undefined && { helpUri: `${project}${page}` }),
    defaultConfiguration: { level },
  };
}

/** The line of the settings that a result is about: the first that differs from before, or else the first of the settings. */
function lineOf({ settings: { text }, before }: SarifOptions): number {
  if (before !== undefined && before !== text) {
    const [lines, old] = [text.split("\n"), before.split("\n")];
    const first = lines.findIndex((line, index) => line !== old[index]);
    return first === -1 ? lines.length : Math.min(first + 1, lines.length);
  }
  const root = parseTree(text);
  const cluster = root && findNodeAtLocation(root, ["context", "cluster"]);
  return text.slice(0, cluster?.offset ?? 0).split("\n").length;
}

/**
 * A text on one line without a link and without a placeholder: SARIF takes `[text](address)` and `{0}` in a message for these.
 * Source: SARIF 2.1.0, 3.11.5 and 3.11.6.
 */
function plain(text: string): string {
  return printable(text).replaceAll("](", "] (").replaceAll(/\$?\{/g, "(").replaceAll("}", ")");
}

function fingerprint(settings: string, kind: string, address = ""): string {
  return createHash("sha256")
    .update(JSON.stringify([settings, kind, address]))
    .digest("hex");
}
