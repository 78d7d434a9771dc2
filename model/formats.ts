import { isAddress, isCidr, isUsable, prefixLength, UNUSABLE_RANGES } from "./addressing";
import { INVISIBLE, printable } from "./printable";

/** The longest part of a refused value that an error line shows, in characters. */
const MAX_SHOWN_LENGTH = 200;

/** The format of a text: the words after "must be …" in an error message, and the check. */
export interface Limit {
  /** The allowed values, in the words of an error message. */
  readonly allowed: string;
  /** The check as a pattern, which editors use too. @default - `holds` checks */
  readonly pattern?: RegExp;
  /** The check as a function, for formats that a pattern cannot express. @default - `pattern` checks */
  readonly holds?: (value: string) => boolean;
}

/** The folders in the project whose content programs delete: synthesis, `npm ci`, `npm run cloud`, and git's own. */
const DELETED_FOLDERS = ["cdktf.out", "node_modules", ".cloud", ".git"];

/** The format of a network: a CIDR within a range of prefix lengths, in which machines can be. */
function network(min: number, max: number, example: string): Limit {
  return {
    allowed: `an IPv4 CIDR of /${min} to /${max} without host bits, such as ${example}, outside ${listed(UNUSABLE_RANGES)}`,
    holds: (value) => isCidr(value) && prefixLength(value) >= min && prefixLength(value) <= max && isUsable(value),
  };
}

/** A list in words: `a, b and c`. */
function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** A pattern for a text in upper and lower case. (The JSON schema for editors has patterns without flags.) */
function anyCase(text: string): string {
  return text.replaceAll(".", "\\.").replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

/**
 * The formats that AWS, EC2's host names and X.509 allow. Settings and the constructs' props both use them.
 * The cluster's name is also the name of the load balancer, target group, security group and key pair. Load balancers allow
 * at most 32 characters and no prefix `internal-`; security groups allow no prefix `sg-`.
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
 */
export const LIMITS = {
  clusterName: {
    allowed:
      "1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves",
    pattern: /^(?![iI][nN][tT][eE][rR][nN][aA][lL]-|[sS][gG]-|-)[A-Za-z0-9-]{1,32}(?<!-)$/,
  },
  region: { allowed: "an AWS region such as eu-central-1", pattern: /^[a-z]{2,4}(-[a-z]+)+-[0-9]+$/ },
  availabilityZone: {
    // https://docs.aws.amazon.com/elasticloadbalancing/latest/network/availability-zones.html: "You can't specify a subnet in
    // a Local Zone".
    allowed:
      "an availability zone such as eu-central-1a, and no Local Zone or Wavelength Zone, because a network load balancer needs a zone of the region itself",
    pattern: /^[a-z]{2,4}(-[a-z]+)+-[0-9]+[a-z]$/,
  },
  cidr: { allowed: "an IPv4 CIDR without host bits, such as 172.31.0.0/24", holds: isCidr },
  vpcCidr: network(16, 28, "172.31.0.0/16"),
  podCidr: network(8, 24, "172.20.0.0/16"),
  // kube-apiserver's ServiceIPRange: "the service cluster IP range must be at least 8 IP addresses". Its validation of
  // --service-cluster-ip-range allows at most 20 bits for hosts.
  serviceCidr: network(12, 29, "172.32.0.0/24"),
  address: { allowed: "an IPv4 address such as 172.31.0.10", holds: isAddress },
  instanceType: { allowed: "an EC2 instance type such as t2.micro", pattern: /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/ },
  imageId: { allowed: "an AMI id such as ami-0123456789abcdef0", pattern: /^ami-([0-9a-f]{8}|[0-9a-f]{17})$/ },
  imageNamePattern: {
    allowed: "an image name of 3 to 128 characters without spaces, in which * and ? are wildcards",
    pattern: /^[A-Za-z0-9()[\]./\-'@_*?]{3,128}$/,
  },
  country: { allowed: "a country code of two capital letters, such as UK", pattern: /^[A-Z]{2}$/ },
  subjectField: {
    allowed: "1 to 64 visible characters, none of them a backslash, and without ${, %{, #{ and &{",
    // Terraform would read ${ and %{ as the start of a template, and cdktf the others as its own tokens.
    pattern: new RegExp(`^(?!.*[$%#&]\\{)[^${INVISIBLE}\\uFFFD\\\\]{1,64}$`, "u"),
  },
  tagKey: {
    // Terraform's JSON has // for comments.
    allowed: "a tag key of 1 to 128 characters, without the prefix aws:, and none of Name, Cluster and //",
    pattern: /^(?![aA][wW][sS]:|Name$|Cluster$|\/\/$|.*\p{DI})[\p{L}\p{N} _.:/=+\-@]{1,128}$/u,
  },
  // Load balancers refuse the prefix aws: in values too.
  // https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-tags.html
  tagValue: {
    allowed: "at most 256 letters, digits, spaces and _.:/=+-@, without the prefix aws:",
    pattern: /^(?![aA][wW][sS]:|.*\p{DI})[\p{L}\p{N} _.:/=+\-@]{0,256}$/u,
  },
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  bucket: {
    allowed:
      "the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens, no two dots in a row, no address, and no prefix or suffix that S3 reserves",
    pattern:
      /^(?!.*\.\.|(\d+\.){3}\d+$|xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?<!-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/,
  },
  bucketKey: {
    allowed: "an object key of 1 to 1024 letters, digits and !_.*'()/-, without a slash at either end",
    pattern: /^(?!\/)[A-Za-z0-9!_.*'()/-]{1,1024}(?<!\/)$/,
  },
  baseAddress: {
    // It is a field in a table that shell scripts read, and a part of other addresses.
    allowed:
      "an http or https address of letters, digits and ._~-/, such as https://mirror.example.com/k8s, without user, query and slash at the end",
    pattern: /^https?:\/\/[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._~-]+)*$/,
    holds: (value) => URL.canParse(value),
  },
  registry: {
    allowed: "a registry's host as in the names of its images, such as registry.k8s.io or registry.example.com:5000",
    pattern: /^(?=.*[.:])[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$/,
  },
  sum: { allowed: "a SHA-256 of 64 lower-case hexadecimal digits", pattern: /^[0-9a-f]{64}$/ },
  digest: { allowed: "sha256: and 64 lower-case hexadecimal digits", pattern: /^sha256:[0-9a-f]{64}$/ },
  statePath: {
    // .gitignore lists state files by their ending.
    allowed: `a path of letters, digits and _./- in the project's folder that ends in .tfstate, outside ${listed(DELETED_FOLDERS)}`,
    pattern: new RegExp(
      `^(?!/|(${DELETED_FOLDERS.map(anyCase).join("|")})/)(?!(.*/)?\\.{1,2}/)[A-Za-z0-9_./-]*[A-Za-z0-9_-]\\.tfstate$`,
    ),
  },
} as const satisfies Record<string, Limit>;

/** Whether a text has the format. */
export function holds(limit: Limit, value: string): boolean {
  return (limit.pattern?.test(value) ?? true) && (limit.holds?.(value) ?? true);
}

/** An error line of this project: the name of the value, the allowed values, the value it got. */
export function mustBe(name: string, allowed: string, got: unknown): string {
  return `'${oneLine(name)}' must be ${allowed}, got: ${shown(got)}`;
}

/** A name from the user's input, safe to print: characters that a reader cannot see are escaped as in JSON. */
export function oneLine(name: string): string {
  return quoted(name).slice(1, -1);
}

/** A refused value in an error line, cut after {@link MAX_SHOWN_LENGTH} characters. */
function shown(value: unknown): string {
  const text = value === undefined ? "nothing" : quoted(value);
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}

/** A value as JSON, without characters that a reader cannot see. */
function quoted(value: unknown): string {
  try {
    return printable(JSON.stringify(value));
  } catch (error) {
    // JSON.stringify needs a stack frame for each level.
    if (error instanceof RangeError) return "a value that is nested too deeply to be shown";
    throw error;
  }
}

/** A value that conflicts with other values: its name, the allowed values, the value it got. */
export interface Problem {
  /** The name of the value. */
  readonly name: string;
  /** The allowed values, in the words after "must be …". */
  readonly allowed: string;
  /** The value. */
  readonly got: unknown;
}

/** The words for a range of whole numbers, for an error message. */
export function wholeNumberFrom(range: { min: number; max: number }): string {
  return `a whole number from ${range.min} to ${range.max}`;
}
