import { readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import type { z } from "zod";
import { mustBe, oneLine } from "../model/formats";
import { TUTORIAL, withPreset } from "./presets";
import { RULES } from "./rules";
import { type ClusterSettings, schema } from "./schema";

/** Settings that were refused. The message has one line for each fault. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * Checks settings and fills in defaults.
 * @param input - as a person wrote them; nothing stands for `{}`
 * @throws SettingsError with a line for each fault: the setting, what is allowed, what it got
 */
export function parseSettings(input: unknown = {}): ClusterSettings {
  const result = schema.safeParse(withPreset(TUTORIAL, input));
  const lines = result.success
    ? RULES.flatMap((rule) => rule(result.data)).map(({ name, allowed, got }) => mustBe(name, allowed, got))
    : settingsErrors(result.error, input);
  if (lines.length > 0) throw new SettingsError(lines.join("\n"));
  return result.data as ClusterSettings;
}

/**
 * The settings of this run: the file that `CLUSTER_SETTINGS` names, from the working directory, or else what
 * cdktf.json has in its context.
 * @param context - the context's value for the key `cluster`
 * @throws SettingsError where the file cannot be read or is not JSON, and as {@link parseSettings}
 */
export function loadSettings(context: unknown): ClusterSettings {
  const path = process.env.CLUSTER_SETTINGS;
  // Set but empty is a mistake of a script's: it must not deploy, or destroy, the context's cluster instead.
  return parseSettings(path === undefined ? context : readSettingsFile(path));
}

function readSettingsFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, " ");
    throw new SettingsError(`${mustBe("CLUSTER_SETTINGS", "the path of a JSON file", path)} (${reason})`);
  }
}

function settingsErrors(error: z.ZodError, input: unknown): string[] {
  const lines = error.issues.flatMap((issue) => {
    const name = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") {
      // A record's key stands in the path; what was refused is the key, not the value that it has.
      const got = issue.code === "invalid_key" ? issue.path.at(-1) : valueAt(input, issue.path);
      return [mustBe(name || "cluster", issue.message, got)];
    }
    const prefix = name === "" ? "" : `${name}.`;
    return issue.keys.map((key) => {
      const known = issue.message.split(", ");
      return `'${oneLine(prefix + key)}' is not a setting, did you mean '${prefix}${closest(key, known)}'? allowed: ${issue.message}`;
    });
  });
  // A number can break two rules of one setting.
  return [...new Set(lines)];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}
