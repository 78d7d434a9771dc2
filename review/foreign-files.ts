import { NODE_HOME, type NodeFile, nodeFiles } from "../model/layout";
import { NODE_USER } from "../model/names";
import { API_SERVER_PORT } from "../model/ports";
import { type Arguments, nameOf } from "./arguments";
import type { CopyChange } from "./changes";
import { type CopiedFile, readDistribution } from "./provisioners";
import { refersToSecret } from "./secrets";

/** The name of a copy of this project. In a stack of its own, cdktf adds a prefix and a hash. */
const COPY = /^((?:\w+_)?)pems-((master|worker)-\d+)(_[0-9A-F]{8})?$/;

/** A machine's copy, as its address names it. */
interface Copy {
  /** The id of the machine, `worker-0`. */
  readonly id: string;
  readonly role: "master" | "worker";
  /** Whether a resource has the name `name` in the same cluster. */
  readonly isNamed: (resource: string, name: string) => boolean;
}

function readCopy(address: string): Copy | undefined {
  const [match, prefix = "", id = "", role, hash] = COPY.exec(nameOf(address)) ?? [];
  if (match === undefined) return undefined;
  const isNamed = (resource: string, name: string) =>
    hash === undefined
      ? resource === name
      : resource.startsWith(prefix) &&
        new RegExp(`(^|_)${name.replace(/-(certificate|private-key)$/, "_$1")}_[0-9A-F]{8}$`).test(resource);
  return { id, role: role as Copy["role"], isNamed };
}

type Kind = NodeFile["source"]["kind"];

/** The references in a content, in their order: the type, the end of the name and the attribute. */
const REFERENCES: Readonly<Record<Kind, (identity: string) => readonly (readonly [string, string, string])[]>> = {
  certificate: (identity) => [certificate(identity)],
  key: (identity) => [key(`${identity}-private-key`)],
  kubeconfig: (identity) => [certificate("ca"), certificate(identity), key(`${identity}-private-key`)],
  "encryption-config": () => [key("encryption-key"), key("encryption-key")],
};

const certificate = (identity: string) =>
  [
    identity === "ca" ? "tls_self_signed_cert" : "tls_locally_signed_cert",
    `${identity}-certificate`,
    "cert_pem",
  ] as const;
const key = (name: string) => ["tls_private_key", name, "private_key_pem"] as const;

const PEM = "<REFERENCE>";

/** The contents, with REFERENCE, NAME and HOST in place of what differs between clusters and machines. */
const CONTENTS: Readonly<Record<Kind, string>> = {
  certificate: PEM,
  key: PEM,
  kubeconfig: String.raw`apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: <base64encode(REFERENCE)>\n    server: https://HOST:${API_SERVER_PORT}\n  name: NAME\ncontexts:\n- context:\n    cluster: NAME\n    user: NAME\n  name: default\ncurrent-context: default\nkind: Config\npreferences: {}\nusers:\n- name: NAME\n  user:\n    client-certificate-data: <base64encode(REFERENCE)>\n    client-key-data: <base64encode(REFERENCE)>\n`,
  "encryption-config": String.raw`apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources:\n  - secrets\n  providers:\n  - aescbc:\n      keys:\n      - name: key-<substr(sha256(base64sha256(REFERENCE)), 0, 8)>\n        secret: <base64sha256(REFERENCE)>\n  - identity: {}\n`,
};

function contentPattern(kind: Kind): RegExp {
  const escaped = CONTENTS[kind].replaceAll(/[.()\\{}]/g, "\\$&");
  return new RegExp(
    `^${escaped
      .replaceAll("REFERENCE", String.raw`(\w+\.[\w-]+\.\w+)`)
      .replaceAll("NAME", String.raw`\\"[\w:.-]+\\"`)
      .replaceAll("HOST", String.raw`(?:127\.0\.0\.1|<aws_lb\.[\w-]+\.dns_name>)`)}$`,
  );
}

/** A text of Terraform with its expressions between `<` and `>`; undefined if it has another form. */
function flatContent(content: string): string | undefined {
  const [, expression] = /^\$\{base64encode\((.*)\)\}$/.exec(content) ?? [];
  const [, parts] = /^join\("", \[(.*)\]\)$/.exec(expression ?? "") ?? [];
  if (parts === undefined) return expression === undefined ? undefined : `<${expression}>`;
  // With a template, a literal is not what it looks like.
  if (/[$%]\{|[<>]/.test(parts)) return undefined;
  return parts
    .split(/("(?:[^"\\]|\\.)*")/)
    .map((part, index) => (index % 2 === 1 ? part.slice(1, -1) : part.replace(/^, /, "").replace(/, $/, "")))
    .map((part, index) => (index % 2 === 1 || part === "" ? part : `<${part}>`))
    .join("");
}

function hasContent(content: string, kind: Kind, identity: string, { isNamed }: Copy): boolean {
  const found = contentPattern(kind).exec(flatContent(content) ?? "");
  return (
    found !== null &&
    REFERENCES[kind](identity).every(([type, name, attribute], index) => {
      const [foundType, foundName = "", foundAttribute] = (found[index + 1] as string).split(".");
      return foundType === type && isNamed(foundName, name) && foundAttribute === attribute;
    })
  );
}

function isOfMachine(path: string, { content, mode, owner }: CopiedFile, copy: Copy): boolean {
  // The file names of a worker begin with the name of its cluster.
  const fileName = path.slice(NODE_HOME.length + 1);
  const [name = copy.id] = new RegExp(`^[\\w-]+-${copy.id}(?=(-key)?\\.\\w+$)`).exec(fileName) ?? [];
  const expected = nodeFiles({ role: copy.role, name }).find((file) => path === `${NODE_HOME}/${file.fileName}`);
  if (expected === undefined || expected.mode !== mode || owner !== NODE_USER) return false;
  const { source } = expected;
  const identity = "identity" in source ? source.identity : "";
  return hasContent(String(content), source.kind, identity === name ? copy.id : identity, copy);
}

/**
 * The files of a copy that are not those of this project for the machine: another path, mode or owner, or a content from
 * elsewhere.
 * @returns the files; none if the resource does not copy as `FileDistribution` does
 */
export function foreignFiles(address: string, block: Arguments): CopyChange[] {
  const copy = readCopy(address);
  return [...(readDistribution(block)?.files ?? [])]
    .filter(([path, file]) => copy === undefined || !isOfMachine(path, file, copy))
    .map(([file, { content }]) => ({
      address,
      file,
      change: "not of this project",
      ...(refersToSecret(content) && { secret: true }),
    }));
}
