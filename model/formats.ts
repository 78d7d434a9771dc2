import { isAddress, isCidr, prefixLength } from "./addressing";

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
    allowed: "an availability zone such as eu-central-1a",
    pattern: /^[a-z]{2,4}(-[a-z]+)+-[0-9]+(-[a-z]+-[0-9]+)?[a-z]$/,
  },
  cidr: { allowed: "an IPv4 CIDR without host bits, such as 172.31.0.0/24", holds: isCidr },
  vpcCidr: {
    allowed: "an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16",
    holds: (value) => isCidr(value) && prefixLength(value) >= 16 && prefixLength(value) <= 28,
  },
  podCidr: {
    allowed: "an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16",
    holds: (value) => isCidr(value) && prefixLength(value) >= 8 && prefixLength(value) <= 24,
  },
  serviceCidr: {
    allowed: "an IPv4 CIDR of /12 to /30 without host bits, such as 172.32.0.0/24",
    holds: (value) => isCidr(value) && prefixLength(value) >= 12 && prefixLength(value) <= 30,
  },
  address: { allowed: "an IPv4 address such as 172.31.0.10", holds: isAddress },
  instanceType: { allowed: "an EC2 instance type such as t2.micro", pattern: /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/ },
  imageId: { allowed: "an AMI id such as ami-0123456789abcdef0", pattern: /^ami-([0-9a-f]{8}|[0-9a-f]{17})$/ },
  imageNamePattern: {
    allowed: "an image name of 3 to 128 characters without spaces, in which * and ? are wildcards",
    pattern: /^[A-Za-z0-9()[\]./\-'@_*?]{3,128}$/,
  },
  country: { allowed: "a country code of two capital letters, such as UK", pattern: /^[A-Z]{2}$/ },
  subjectField: {
    allowed: "1 to 64 characters, none of them a control character or a backslash, and without ${ and %{",
    // Terraform would read ${ and %{ as the start of a template.
    pattern: /^(?!.*[$%]\{)[^\p{Cc}\u2028\u2029\\]{1,64}$/u,
  },
  tagKey: {
    allowed: "a tag key of 1 to 128 characters, without the prefix aws:, and neither Name nor Cluster",
    pattern: /^(?![aA][wW][sS]:|Name$|Cluster$)[\p{L}\p{N} _.:/=+\-@]{1,128}$/u,
  },
  tagValue: {
    allowed: "at most 256 letters, digits, spaces and _.:/=+-@",
    pattern: /^[\p{L}\p{N} _.:/=+\-@]{0,256}$/u,
  },
  bucket: {
    allowed: "the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens",
    pattern: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  },
  bucketKey: {
    allowed: "an object key of 1 to 1024 letters, digits and !_.*'()/-, without a slash at either end",
    pattern: /^(?!\/)[A-Za-z0-9!_.*'()/-]{1,1024}(?<!\/)$/,
  },
  statePath: {
    // Synthesis removes folders in cdktf.out, and `npm ci` removes node_modules. .gitignore lists state files by their ending.
    allowed:
      "a path of letters, digits and _./- in the project's folder that ends in .tfstate, outside cdktf.out and node_modules",
    pattern:
      /^(?!\/|([cC][dD][kK][tT][fF]\.[oO][uU][tT]|[nN][oO][dD][eE]_[mM][oO][dD][uU][lL][eE][sS]|\.git)\/)(?!(.*\/)?\.{1,2}\/)[A-Za-z0-9_./-]*[A-Za-z0-9_-]\.tfstate$/,
  },
} as const satisfies Record<string, Limit>;

/** Whether a text has the format. */
export function holds(limit: Limit, value: string): boolean {
  return (limit.pattern?.test(value) ?? true) && (limit.holds?.(value) ?? true);
}

/** An error line of this project: the name of the value, the allowed values, the value it got. */
export function mustBe(name: string, allowed: string, got: unknown): string {
  const text = got === undefined ? "nothing" : JSON.stringify(got);
  return `'${oneLine(name)}' must be ${allowed}, got: ${text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text}`;
}

/** A name from the user's input, safe to print: control characters are escaped as in JSON. */
export function oneLine(name: string): string {
  return JSON.stringify(name).slice(1, -1);
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
