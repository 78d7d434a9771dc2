import { readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import type { z } from "zod";
import { mustBe, oneLine } from "../model/formats";
import { UserError } from "../model/user-error";
import { TUTORIAL, withPreset } from "./presets";
import { RULES } from "./rules";
import { type ClusterSettings, schema } from "./schema";

/**
 * Checks settings and fills in defaults.
 * @param input - the settings as the user wrote them. @default - `{}`
 * @throws UserError with a line for each problem: the setting, the allowed values, the value it got
 */
export function parseSettings(input: unknown = {}): ClusterSettings {
  const result = schema.safeParse(withPreset(TUTORIAL, input));
  const lines = result.success
    ? RULES.flatMap((rule) => rule(result.data)).map(({ name, allowed, got }) => mustBe(name, allowed, got))
    : settingsErrors(result.error, input);
  if (lines.length > 0) throw new UserError(lines.join("\n"));
  return result.data as ClusterSettings;
}

/**
 * Loads the settings of this run: from the file that `CLUSTER_SETTINGS` names (relative to the working directory), or
 * else from the context in cdktf.json.
 * @param context - the context's value for the key `cluster`
 * @throws UserError if the file cannot be read or is not JSON, and as {@link parseSettings}
 */
export function loadSettings(context: unknown): ClusterSettings {
  const path = process.env.CLUSTER_SETTINGS;
  // An empty variable is a mistake in a script. It must not deploy or destroy the context's cluster instead.
  return parseSettings(path === undefined ? context : readSettingsFile(path));
}

function readSettingsFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, " ");
    throw new UserError(`${mustBe("CLUSTER_SETTINGS", "the path of a JSON file", path)} (${reason})`);
  }
}

function settingsErrors(error: z.ZodError, input: unknown): string[] {
  const lines = error.issues.flatMap((issue) => {
    const name = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") {
      // The path ends in the record's key. The refused value is this key, not its value.
      const got = issue.code === "invalid_key" ? issue.path.at(-1) : valueAt(input, issue.path);
      return [mustBe(name || "cluster", issue.message, got)];
    }
    const prefix = name === "" ? "" : `${name}.`;
    return issue.keys.map((key) => {
      const known = issue.message.split(", ");
      return `'${oneLine(prefix + key)}' is not a setting, did you mean '${prefix}${closest(key, known)}'? allowed: ${issue.message}`;
    });
  });
  // One number can break two rules of a setting; both rules give the same line.
  return [...new Set(lines)];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}
