import { z } from "zod";
import { ENCRYPTION_KEY } from "./outputs";
import { readYaml } from "./yaml";

/** The accepted shape: secrets are encrypted with keys of 32 bytes, and unencrypted ones can still be read. */
const ENCRYPTION_CONFIG = z.strictObject({
  apiVersion: z.literal("apiserver.config.k8s.io/v1"),
  kind: z.literal("EncryptionConfiguration"),
  resources: z.tuple([
    z.strictObject({
      resources: z
        .array(z.string().regex(/^[a-z][a-z0-9.-]*$/, "must be a resource name"))
        .refine((names) => names.includes("secrets"), "must include secrets")
        .refine((names) => new Set(names).size === names.length, "each resource must appear once"),
      providers: z.tuple([
        z.strictObject({
          aescbc: z.strictObject({
            keys: z.array(z.strictObject({ name: z.string().min(1), secret: ENCRYPTION_KEY })).min(1),
          }),
        }),
        z.strictObject({ identity: z.strictObject({}) }),
      ]),
    }),
  ]),
});

/** The problems of an encryption config. An API server refuses unknown fields, so they are problems too. */
export function encryptionProblems(text: string): string[] {
  return readYaml(ENCRYPTION_CONFIG, text).problems;
}

/**
 * Whether an encryption config may contain a key, or a key's name, that another one does not have. Without that key, the
 * secrets that were encrypted with it cannot be read. A text of an unknown shape may contain one. Everything that looks like
 * a key counts, also in a comment.
 */
export function hasOtherKeys(text: string, other: string): boolean {
  if (text.trim() === "") return false;
  const [keys, otherKeys] = [keysOf(text), keysOf(other)];
  return (
    keys === undefined ||
    keys.some((key) => !otherKeys?.includes(key)) ||
    (text.match(/[A-Za-z0-9+/]{20,}=*/g) ?? []).some((key) => !other.includes(key))
  );
}

/** Names and keys; undefined if the text has another shape. */
function keysOf(text: string): string[] | undefined {
  const { config } = readYaml(ENCRYPTION_CONFIG, text);
  return config?.resources[0].providers[0].aescbc.keys.map(({ name, secret }) => `${name} ${secret}`);
}
