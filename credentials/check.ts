import { createPrivateKey } from "node:crypto";
import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { apiServer } from "../kubernetes/kubeconfig";
import { type Identity, identities } from "../model/identities";
import { CA } from "../model/layout";
import { type CertificateFacts, readFacts } from "./certificate";
import { encryptionFaults } from "./encryption";
import {
  type DescribedCluster,
  describedCluster,
  ENCRYPTION_CONFIG,
  FOLDERS,
  filesIn,
  kubeconfigPath,
  PAIRS,
  pairPaths,
  serverNamesOf,
  sshKeyPath,
  usersOf,
} from "./files";
import { octal } from "./stack";
import { readYaml } from "./yaml";

/** What was found of a file. */
export interface Finding {
  /** The file's path in the folder, or a machine's name and the file's there. */
  readonly path: string;
  /** Of a certificate: how many whole days it is still good for; negative when it has ended. */
  readonly daysLeft?: number;
  /** What is wrong; empty where nothing is. */
  readonly faults: readonly string[];
}

/** How a folder is checked. */
export interface CheckOptions {
  readonly now: Date;
  /** A certificate that is good for fewer days is a fault. */
  readonly days: number;
}

const DAY = 24 * 3_600_000;

/** Gives the text of a file, by its path in a folder of credentials; undefined where it cannot be read. */
export type Read = (path: string) => string | undefined;

/** What is wrong with a file's text and, of a certificate, how long it is good for. */
export type ContentCheck = (text: string) => Pick<Finding, "daysLeft" | "faults">;

/** Reads files of a folder. */
export function readerOf(folder: string): Read {
  return (path) => {
    const file = join(folder, path);
    try {
      // What is no file may never end.
      return statSync(file).isFile() ? readFileSync(file, "utf8") : undefined;
    } catch {
      return undefined;
    }
  };
}

/**
 * Whether a control plane would take a cluster's files: a check for each that a folder must hold, by its path.
 * @param read - gives the files that it is checked with: a certificate's key, its authority
 */
export function contentChecks(
  cluster: DescribedCluster,
  read: Read,
  options: CheckOptions,
): ReadonlyMap<string, ContentCheck> {
  const [authorityPath] = pairPaths(CA);
  const authority = tryRead(read(authorityPath));

  const pairChecks = (
    stem: string,
    faults: (facts: CertificateFacts) => readonly string[],
  ): [path: string, check: ContentCheck][] => {
    const [path, keyPath] = pairPaths(stem);
    const certificate: ContentCheck = (text) => {
      const facts = tryRead(text);
      if (facts === undefined) return { faults: ["is no certificate in PEM"] };
      return {
        daysLeft: daysLeft(facts, options.now),
        faults: [
          ...countFaults(text),
          ...validityFaults(facts, options),
          ...keyFaults(facts, read(keyPath), keyPath),
          ...faults(facts),
        ],
      };
    };
    return [
      [path, certificate],
      [keyPath, keyCheck],
    ];
  };

  return new Map([
    ...pairChecks(CA, authorityFaults),
    ...identities(serverNamesOf(cluster)).flatMap((expected) =>
      pairChecks(expected.fileName, (facts) => [
        ...chainFaults(facts, authority),
        ...leafFaults(facts),
        ...contentFaults(facts, expected),
      ]),
    ),
    ...usersOf(cluster).map(({ fileName: stem, user, host }): [string, ContentCheck] => {
      const [path, keyPath] = pairPaths(stem);
      // Read when it is needed: of many users' files, a machine has two or three.
      const expected = () => ({
        context: { cluster: cluster.name, user },
        cluster: { server: apiServer(host), "certificate-authority-data": read(authorityPath) },
        user: { "client-certificate-data": read(path), "client-key-data": read(keyPath) },
      });
      return [kubeconfigPath(stem), (text) => ({ faults: kubeconfigFaults(text, expected()) })];
    }),
    [ENCRYPTION_CONFIG, (text: string) => ({ faults: encryptionFaults(text) })],
    [sshKeyPath(cluster.name), keyCheck],
  ]);
}

/** Checks all that lies in a folder: what must be there, who may read it, and whether a control plane would take it. */
export function checkFolder(folder: string, options: CheckOptions): Finding[] {
  const cluster = describedCluster(folder);
  const read = readerOf(folder);
  const checks = contentChecks(cluster, read, options);
  const owner = statSync(folder).uid;
  const access = (path: string) => accessFaults(join(folder, path), owner);
  const content = [...checks].map(([path, check]): Finding => {
    const text = read(path);
    if (text === undefined) return { path, faults: [absence(join(folder, path))] };
    const { faults, ...rest } = check(text);
    return { path, ...rest, faults: [...access(path), ...faults] };
  });
  // Of what else there is, only what is wrong with secrets: it is the reader's own.
  const others = filesIn(folder)
    .filter((path) => !checks.has(path) && SECRET.test(read(path) ?? ""))
    .map((path) => ({ path, faults: access(path) }))
    .filter(({ faults }) => faults.length > 0);
  return [...content, ...others, ...[".", ...FOLDERS].map((path) => ({ path, faults: access(path) }))];
}

/** What private keys, kubeconfigs and encryption configs have in them. */
const SECRET = /PRIVATE KEY-----|client-key-data["']?:|kind["']?: *["']?EncryptionConfig/;

function tryRead(pem: string | undefined): CertificateFacts | undefined {
  try {
    return pem === undefined ? undefined : readFacts(pem);
  } catch {
    return undefined;
  }
}

function isKey(pem: string): boolean {
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    return false;
  }
}

function keyCheck(text: string): ReturnType<ContentCheck> {
  return { faults: isKey(text) ? [] : ["is no private key in PEM"] };
}

/** What a path is, or why that cannot be said. */
function statusOf(file: string): Stats | "is missing" | "cannot be read" {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) ?? "is missing";
  } catch {
    return "cannot be read";
  }
}

function absence(file: string): string {
  const status = statusOf(file);
  return typeof status === "string" ? status : "cannot be read";
}

/** Who else may read or change a file or folder that only its owner should. */
function accessFaults(file: string, owner: number): string[] {
  const status = statusOf(file);
  if (typeof status === "string") return [status];
  if (status.isSymbolicLink()) return ["is a symbolic link"];
  return [
    ...modeFaults(status.mode & 0o777, status.isDirectory() ? 0o700 : 0o600),
    ...(status.uid === owner ? [] : [`must belong to the folder's owner, user ${owner}, got: ${status.uid}`]),
  ];
}

/** What a mode allows beyond what it may. */
export function modeFaults(mode: number, allowed: number): string[] {
  return (mode & ~allowed) === 0 ? [] : [`must have mode ${octal(allowed)}, got: ${octal(mode)}`];
}

function daysLeft({ notAfter }: CertificateFacts, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY);
}

function validityFaults(facts: CertificateFacts, { now, days }: CheckOptions): string[] {
  const left = daysLeft(facts, now);
  if (facts.notBefore > now) return [`is good only from ${facts.notBefore.toISOString()} on`];
  if (facts.notAfter <= now) return [`ended on ${facts.notAfter.toISOString()}`];
  return left < days ? [`ends in ${left} days, on ${facts.notAfter.toISOString()}`] : [];
}

function keyFaults({ x509 }: CertificateFacts, keyPem: string | undefined, keyPath: string): string[] {
  // What is wrong with the key itself is said of the key.
  if (keyPem === undefined || !isKey(keyPem)) return [];
  return x509.checkPrivateKey(createPrivateKey(keyPem)) ? [] : [`does not belong to ${keyPath}`];
}

/** kube-controller-manager refuses a second certificate beside the authority's. */
function countFaults(text: string): string[] {
  const count = text.split("-----BEGIN CERTIFICATE-----").length - 1;
  return count === 1 ? [] : [`must hold one certificate, got: ${count}`];
}

function authorityFaults({ mayCertify, x509 }: CertificateFacts): string[] {
  return [
    ...(mayCertify ? [] : ["may not sign certificates (basic constraints, key usage)"]),
    ...(x509.verify(x509.publicKey) ? [] : ["is not signed by itself"]),
  ];
}

/** What only an authority may, and what TLS insists on. */
function leafFaults({ isAuthority, maySign, hash }: CertificateFacts): string[] {
  return [
    ...(hash === "SHA-256" ? [] : [`must be signed with SHA-256, got: ${hash}`]),
    ...(isAuthority ? ["is an authority's (basic constraints)"] : []),
    ...(maySign ? [] : ["may not sign handshakes (key usage)"]),
  ];
}

function chainFaults(facts: CertificateFacts, authority: CertificateFacts | undefined): string[] {
  if (authority === undefined) return [];
  const keyId = facts.authorityKeyId;
  return [
    ...(facts.x509.checkIssued(authority.x509) && facts.x509.verify(authority.x509.publicKey)
      ? []
      : ["is not signed by the authority in ca.pem"]),
    ...(keyId === undefined
      ? ["has no authority key identifier"]
      : keyId === authority.subjectKeyId
        ? []
        : ["names another authority key than ca.pem has"]),
    ...(facts.notAfter > authority.notAfter ? ["outlives the authority in ca.pem"] : []),
  ];
}

function contentFaults(
  facts: CertificateFacts,
  { commonName, organization, dnsNames = [], ipAddresses = [], neededUses }: Identity,
): string[] {
  const lacks = (what: string, wanted: readonly string[], has: readonly string[]) =>
    wanted.filter((each) => !has.includes(each)).map((each) => `lacks the ${what} ${each}`);
  return [
    ...(facts.commonName === commonName ? [] : [`common name must be ${commonName}, got: ${facts.commonName}`]),
    ...(organization === undefined || facts.organization === organization
      ? []
      : [`organization must be ${organization}, got: ${facts.organization}`]),
    ...lacks("name", [...dnsNames, ...ipAddresses], facts.names),
    ...lacks("use", neededUses, facts.uses),
  ];
}

/** A list in which kubectl wants each name once. */
function named<T extends { readonly name: string }>(entry: z.ZodType<T>): z.ZodType<T[]> {
  const isUnique = (all: readonly T[]) => new Set(all.map(({ name }) => name)).size === all.length;
  return z.array(entry).refine(isUnique, "must have each name once");
}

/** What kubectl needs of a kubeconfig. */
const KUBECONFIG = z.object({
  apiVersion: z.literal("v1"),
  kind: z.literal("Config"),
  "current-context": z.string(),
  contexts: named(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: named(z.object({ name: z.string(), cluster: z.record(z.string(), z.unknown()) })),
  users: named(z.object({ name: z.string(), user: z.record(z.string(), z.unknown()) })),
});

/** What a kubeconfig must say: its data in PEM, as the files beside it have it. */
interface ExpectedKubeconfig {
  readonly context: Readonly<Record<string, string>>;
  readonly cluster: Readonly<Record<string, string | undefined>>;
  readonly user: Readonly<Record<string, string | undefined>>;
}

function kubeconfigFaults(text: string, expected: ExpectedKubeconfig): string[] {
  const { config, faults } = readYaml(KUBECONFIG, text);
  if (config === undefined) return faults;
  // As kubectl does: the context that is current says which cluster and which user.
  const context = config.contexts.find(({ name }) => name === config["current-context"])?.context;
  const cluster = config.clusters.find(({ name }) => name === context?.cluster)?.cluster ?? {};
  const user = config.users.find(({ name }) => name === context?.user)?.user ?? {};
  return [
    ...fieldFaults({ ...context }, expected.context),
    ...fieldFaults(cluster, expected.cluster),
    ...fieldFaults(user, expected.user),
    // Another way to log in, or to whom, may take the place of what is expected.
    ...foreign("cluster", cluster, expected.cluster),
    ...foreign("user", user, expected.user),
  ];
}

function foreign(part: string, actual: object, expected: object): string[] {
  return Object.keys(actual)
    .filter((field) => !Object.hasOwn(expected, field))
    .map((field) => `${part} must not have ${field}`);
}

function fieldFaults(
  actual: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, string | undefined>>,
): string[] {
  return Object.entries(expected).flatMap(([field, wanted]) => {
    const value = actual[field];
    if (!field.endsWith("-data")) return value === wanted ? [] : [`${field} must be ${wanted}, got: ${value}`];
    if (!value) return [`${field} is missing`];
    const isSame = wanted === undefined || value === Buffer.from(wanted).toString("base64");
    return isSame ? [] : [`${field} is not what lies in ${PAIRS}`];
  });
}
