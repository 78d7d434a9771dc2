import { createPrivateKey } from "node:crypto";
import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { apiServer } from "../kubernetes/kubeconfig";
import type { Identity } from "../model/identities";
import { CA, FILE_NAMES, sshKeyPath } from "../model/layout";
import { type CertificateFacts, readFacts } from "./certificate";
import { encryptionProblems } from "./encryption";
import {
  authoritiesOf,
  type DescribedCluster,
  describedCluster,
  ENCRYPTION_CONFIG,
  FILE_MODE,
  FOLDER_MODE,
  FOLDERS,
  filesIn,
  kubeconfigPath,
  PAIRS,
  pairPaths,
  usersOf,
} from "./files";
import { octal } from "./stack";
import { readYaml } from "./yaml";

/** The result of checking one file. */
export interface Finding {
  /** The file's path in the folder; on a machine, the machine's name and the file's path there. */
  readonly path: string;
  /** Only for certificates: whole days until it expires; negative after that. */
  readonly daysLeft?: number;
  /** The problems of the file; empty if it has none. */
  readonly problems: readonly string[];
}

/** Options of a check. */
export interface CheckOptions {
  readonly now: Date;
  /** A certificate that expires in fewer days is a problem. */
  readonly days: number;
}

const DAY = 24 * 3_600_000;

/** Returns the text of a file by its path in a credentials folder; undefined if it cannot be read. */
export type Read = (path: string) => string | undefined;

/** Checks a file's text. Returns its problems and, for a certificate, the days until it expires. */
export type ContentCheck = (text: string) => Pick<Finding, "daysLeft" | "problems">;

/** Returns a function that reads the files of a folder. */
export function readerOf(folder: string): Read {
  return (path) => {
    const file = join(folder, path);
    try {
      // Only regular files: reading a pipe, for example, may never end.
      return statSync(file).isFile() ? readFileSync(file, "utf8") : undefined;
    } catch {
      return undefined;
    }
  };
}

/**
 * The checks of whether a control plane accepts a cluster's files: one for each required file, by its path.
 * @param read - reads the files that a check compares with: a certificate's key, the CAs' certificates
 */
export function contentChecks(
  cluster: DescribedCluster,
  read: Read,
  options: CheckOptions,
): ReadonlyMap<string, ContentCheck> {
  const [caPath] = pairPaths(CA);
  const mainCa = tryRead(read(caPath));

  const pairChecks = (
    fileName: string,
    problems: (facts: CertificateFacts) => readonly string[],
  ): [path: string, check: ContentCheck][] => {
    const [path, keyPath] = pairPaths(fileName);
    const certificate: ContentCheck = (text) => {
      const facts = tryRead(text);
      if (facts === undefined) return { problems: ["is not a PEM certificate"] };
      return {
        daysLeft: daysLeft(facts, options.now),
        problems: [
          ...countProblems(text),
          ...validityProblems(facts, options),
          ...keyProblems(facts, read(keyPath), keyPath),
          ...problems(facts),
        ],
      };
    };
    return [
      [path, certificate],
      [keyPath, keyCheck],
    ];
  };

  return new Map([
    ...authoritiesOf(cluster).flatMap(({ ca, identities }) => {
      const file = FILE_NAMES.certificate(ca);
      const authority = { file, facts: tryRead(read(pairPaths(ca)[0])) };
      return [
        ...pairChecks(ca, (facts) => [...caProblems(facts), ...(ca === CA ? [] : separationProblems(facts, mainCa))]),
        ...identities.flatMap((expected) =>
          pairChecks(expected.fileName, (facts) => [
            ...chainProblems(facts, authority),
            ...leafProblems(facts),
            ...contentProblems(facts, expected),
          ]),
        ),
      ];
    }),
    ...usersOf(cluster).map(({ fileName, user, host }): [string, ContentCheck] => {
      const [path, keyPath] = pairPaths(fileName);
      // Read only when needed: a machine has the files of only two or three users.
      const expected = () => ({
        context: { cluster: cluster.name, user },
        cluster: { server: apiServer(host), "certificate-authority-data": read(caPath) },
        user: { "client-certificate-data": read(path), "client-key-data": read(keyPath) },
      });
      return [kubeconfigPath(fileName), (text) => ({ problems: kubeconfigProblems(text, expected()) })];
    }),
    [ENCRYPTION_CONFIG, (text: string) => ({ problems: encryptionProblems(text) })],
    [sshKeyPath(cluster.name), keyCheck],
  ]);
}

/** Checks a whole folder: every required file exists, only its owner can read it, and a control plane accepts it. */
export function checkFolder(folder: string, options: CheckOptions): Finding[] {
  const cluster = describedCluster(folder);
  const read = readerOf(folder);
  const checks = contentChecks(cluster, read, options);
  const owner = statSync(folder).uid;
  const access = (path: string) => accessProblems(join(folder, path), owner);
  const content = [...checks].map(([path, check]): Finding => {
    const text = read(path);
    if (text === undefined) return { path, problems: [missingReason(join(folder, path))] };
    const { problems, ...rest } = check(text);
    return { path, ...rest, problems: [...access(path), ...problems] };
  });
  // All other files belong to the user. They are reported only if they contain a secret and have a problem.
  const others = filesIn(folder)
    .filter((path) => !checks.has(path) && SECRET.test(read(path) ?? ""))
    .map((path) => ({ path, problems: access(path) }))
    .filter(({ problems }) => problems.length > 0);
  return [...content, ...others, ...[".", ...FOLDERS].map((path) => ({ path, problems: access(path) }))];
}

/** Matches private keys, kubeconfigs and encryption configs. */
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
  return { problems: isKey(text) ? [] : ["is not a PEM private key"] };
}

/** The status of a path, or the reason why it has none. */
function statusOf(file: string): Stats | "is missing" | "cannot be read" {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) ?? "is missing";
  } catch {
    return "cannot be read";
  }
}

function missingReason(file: string): string {
  const status = statusOf(file);
  return typeof status === "string" ? status : "cannot be read";
}

/** Checks that only the owner can read or change a file or folder. */
function accessProblems(file: string, owner: number): string[] {
  const status = statusOf(file);
  if (typeof status === "string") return [status];
  if (status.isSymbolicLink()) return ["is a symbolic link"];
  return [
    ...modeProblems(status.mode & 0o777, status.isDirectory() ? FOLDER_MODE : FILE_MODE),
    ...(status.uid === owner ? [] : [`must belong to the folder's owner, user ${owner}, got: ${status.uid}`]),
  ];
}

/** Checks that a mode allows no more than another mode. */
export function modeProblems(mode: number, allowed: number): string[] {
  return (mode & ~allowed) === 0 ? [] : [wrongMode(allowed, mode)];
}

/** The problem of a mode. */
export function wrongMode(wanted: number, mode: number): string {
  return `must have mode ${octal(wanted)}, got: ${octal(mode)}`;
}

function daysLeft({ notAfter }: CertificateFacts, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY);
}

function validityProblems(facts: CertificateFacts, { now, days }: CheckOptions): string[] {
  const left = daysLeft(facts, now);
  if (facts.notBefore > now) return [`is not valid before ${facts.notBefore.toISOString()}`];
  if (facts.notAfter <= now) return [`expired on ${facts.notAfter.toISOString()}`];
  return left < days ? [`expires in ${left} days, on ${facts.notAfter.toISOString()}`] : [];
}

function keyProblems({ x509 }: CertificateFacts, keyPem: string | undefined, keyPath: string): string[] {
  // A missing or invalid key is reported at the key's own path.
  if (keyPem === undefined || !isKey(keyPem)) return [];
  return x509.checkPrivateKey(createPrivateKey(keyPem)) ? [] : [`does not match ${keyPath}`];
}

/** kube-controller-manager refuses a CA file with a second certificate in it. */
function countProblems(text: string): string[] {
  const count = text.split("-----BEGIN CERTIFICATE-----").length - 1;
  return count === 1 ? [] : [`must contain one certificate, got: ${count}`];
}

function caProblems({ mayCertify, x509 }: CertificateFacts): string[] {
  return [
    ...(mayCertify ? [] : ["may not sign certificates (basic constraints, key usage)"]),
    ...(x509.verify(x509.publicKey) ? [] : ["is not self-signed"]),
  ];
}

/** The certificates that one of two CAs signs must not be accepted as those of the other one. */
function separationProblems({ x509 }: CertificateFacts, other: CertificateFacts | undefined): string[] {
  return other !== undefined && x509.publicKey.equals(other.x509.publicKey)
    ? [`must have another key than ${FILE_NAMES.certificate(CA)}`]
    : [];
}

/** Checks of every certificate except the CAs': it must not be a CA certificate, and TLS must accept it. */
function leafProblems({ isCa, maySign, hash }: CertificateFacts): string[] {
  return [
    ...(hash === "SHA-256" ? [] : [`must be signed with SHA-256, got: ${hash}`]),
    ...(isCa ? ["is a CA certificate (basic constraints)"] : []),
    ...(maySign ? [] : ["may not sign handshakes (key usage)"]),
  ];
}

/** A CA's certificate; without facts, it cannot be read. */
interface AuthorityFile {
  /** The file name. */
  readonly file: string;
  readonly facts?: CertificateFacts;
}

function chainProblems(facts: CertificateFacts, { file, facts: ca }: AuthorityFile): string[] {
  if (ca === undefined) return [];
  const keyId = facts.authorityKeyId;
  return [
    ...(facts.x509.checkIssued(ca.x509) && facts.x509.verify(ca.x509.publicKey)
      ? []
      : [`is not signed by the CA in ${file}`]),
    ...(keyId === undefined
      ? ["has no authority key identifier"]
      : keyId === ca.subjectKeyId
        ? []
        : [`has an authority key identifier that is not ${file}'s`]),
    ...(facts.notAfter > ca.notAfter ? [`expires after the CA certificate in ${file}`] : []),
  ];
}

function contentProblems(
  facts: CertificateFacts,
  { commonName, organization, dnsNames = [], ipAddresses = [], neededUses }: Identity,
): string[] {
  const lacks = (noun: string, wanted: readonly string[], present: readonly string[]) =>
    wanted.filter((each) => !present.includes(each)).map((each) => `lacks the ${noun} ${each}`);
  return [
    ...(facts.commonName === commonName ? [] : [`common name must be ${commonName}, got: ${facts.commonName}`]),
    ...(organization === undefined || facts.organization === organization
      ? []
      : [`organization must be ${organization}, got: ${facts.organization}`]),
    ...lacks("name", [...dnsNames, ...ipAddresses], facts.names),
    ...lacks("extended key usage", neededUses, facts.uses),
  ];
}

/** A list of entries with unique names: kubectl requires that. */
function named<T extends { readonly name: string }>(entry: z.ZodType<T>): z.ZodType<T[]> {
  const isUnique = (all: readonly T[]) => new Set(all.map(({ name }) => name)).size === all.length;
  return z.array(entry).refine(isUnique, "each name must appear once");
}

/** The fields of a kubeconfig that kubectl requires. */
const KUBECONFIG = z.object({
  apiVersion: z.literal("v1"),
  kind: z.literal("Config"),
  "current-context": z.string(),
  contexts: named(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: named(z.object({ name: z.string(), cluster: z.record(z.string(), z.unknown()) })),
  users: named(z.object({ name: z.string(), user: z.record(z.string(), z.unknown()) })),
});

/** The expected content of a kubeconfig. Its data is in PEM, as in the certificate and key files. */
interface ExpectedKubeconfig {
  readonly context: Readonly<Record<string, string>>;
  readonly cluster: Readonly<Record<string, string | undefined>>;
  readonly user: Readonly<Record<string, string | undefined>>;
}

function kubeconfigProblems(text: string, expected: ExpectedKubeconfig): string[] {
  const { config, problems } = readYaml(KUBECONFIG, text);
  if (config === undefined) return problems;
  // Like kubectl: the current context selects the cluster and the user.
  const context = config.contexts.find(({ name }) => name === config["current-context"])?.context;
  const cluster = config.clusters.find(({ name }) => name === context?.cluster)?.cluster ?? {};
  const user = config.users.find(({ name }) => name === context?.user)?.user ?? {};
  return [
    ...fieldProblems({ ...context }, expected.context),
    ...fieldProblems(cluster, expected.cluster),
    ...fieldProblems(user, expected.user),
    // Any other field could change how kubectl logs in, or to which server.
    ...extraFields("cluster", cluster, expected.cluster),
    ...extraFields("user", user, expected.user),
  ];
}

function extraFields(part: string, actual: object, expected: object): string[] {
  return Object.keys(actual)
    .filter((field) => !Object.hasOwn(expected, field))
    .map((field) => `${part} must not have ${field}`);
}

function fieldProblems(
  actual: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, string | undefined>>,
): string[] {
  return Object.entries(expected).flatMap(([field, wanted]) => {
    const value = actual[field];
    if (!field.endsWith("-data")) return value === wanted ? [] : [`${field} must be ${wanted}, got: ${value}`];
    if (!value) return [`${field} is missing`];
    const isSame = wanted === undefined || value === Buffer.from(wanted).toString("base64");
    return isSame ? [] : [`${field} differs from the file in ${PAIRS}`];
  });
}
