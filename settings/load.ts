import { existsSync, readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import type { z } from "zod";
import { mustBe, oneLine } from "../model/formats";
import { UserError } from "../model/user-error";
import { readJsonFile, refuseRepeatedKey } from "./json";
import { TUTORIAL, withPreset } from "./presets";
import { RULES } from "./rules";
import { type ClusterSettings, type FileProblems, schema } from "./schema";

/** The file from which the CLI reads the context. */
const CDKTF_JSON = "cdktf.json";

/** No setting is at a deeper level than this. */
const DEEPEST = 5;

/**
 * Checks settings and fills in defaults.
 * @param input - the settings as the user wrote them. @default - `{}`
 * @param source - the name of all settings in an error message. @default settings
 * @throws UserError with a line for each problem: the setting, the allowed values, the value it got
 */
export function parseSettings(input: unknown = {}, source = "settings"): ClusterSettings {
  const lines = reservedKeys(input);
  if (lines.length > 0) throw new UserError(...lines);
  const result = schema.safeParse(withPreset(TUTORIAL, input));
  const problems = result.success
    ? RULES.flatMap((rule) => rule(result.data)).map(({ name, allowed, got }) => mustBe(name, allowed, got))
    : settingsErrors(result.error, input, source);
  if (problems.length > 0) throw new UserError(...problems);
  return result.data as ClusterSettings;
}

/**
 * Loads the settings of this run: from the file that `CLUSTER_SETTINGS` names (relative to the working directory), or
 * else from the context in cdktf.json.
 * @param context - the context's value for the key `cluster`
 * @throws UserError if the file cannot be read, is not JSON or has a key twice, and as {@link parseSettings}
 */
export function loadSettings(context: unknown): ClusterSettings {
  const path = process.env.CLUSTER_SETTINGS;
  // An empty variable is a mistake in a script. It must not deploy or destroy the context's cluster instead.
  if (path !== undefined) return parseSettings(readJsonFile("CLUSTER_SETTINGS", path), path);
  // The CLI parses the file, and keeps only the last value of a key.
  if (existsSync(CDKTF_JSON)) refuseRepeatedKey(readFileSync(CDKTF_JSON, "utf8"), CDKTF_JSON);
  return parseSettings(context, "context.cluster");
}

/** A line for each key that JavaScript would take for the prototype of its object. */
function reservedKeys(input: unknown, path: readonly string[] = []): string[] {
  if (typeof input !== "object" || input === null || path.length > DEEPEST) return [];
  return Object.entries(input).flatMap(([key, value]) => {
    const inner = [...path, key];
    return key === "__proto__"
      ? [mustBe(inner.join("."), "another key: JavaScript reserves this one", key)]
      : reservedKeys(value, inner);
  });
}

function settingsErrors(error: z.ZodError, input: unknown, source: string): string[] {
  // A setting with a misspelled name is missing too: the name is the cause.
  const isCause = ({ code }: z.core.$ZodIssue) => code === "unrecognized_keys";
  const issues = [...error.issues.filter(isCause), ...error.issues.filter((issue) => !isCause(issue))];
  const lines = issues.flatMap((issue) => {
    if (issue.code === "custom" && issue.params !== undefined) return (issue.params as FileProblems).lines;
    const name = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") {
      // The path ends in the record's key. The refused value is this key, not its value.
      const got = issue.code === "invalid_key" ? issue.path.at(-1) : valueAt(input, issue.path);
      return [mustBe(name || source, issue.message, got)];
    }
    const prefix = name === "" ? "" : `${name}.`;
    return issue.keys.map((key) => {
      const known = issue.message.split(", ");
      if (name === "" && ["context", "cluster"].includes(key)) {
        return `'${key}' is not a setting: ${source} must be the object of 'context.cluster' itself; allowed: ${issue.message}`;
      }
      return `'${oneLine(prefix + key)}' is not a setting, did you mean '${prefix}${closest(key, known)}'? allowed: ${issue.message}`;
    });
  });
  // One number can break two rules of a setting; both rules give the same line.
  return [...new Set(lines)];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}
