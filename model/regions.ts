import { instanceFamily } from "./instance-types";

/** What differs between the partitions of AWS. Accounts, images and ARNs of one partition do not exist in another. */
export interface Partition {
  /** The partition in ARNs, `aws` in `arn:aws:s3:::BUCKET`. */
  readonly name: string;
  /** The start of the names of its regions. */
  readonly regions: RegExp;
  /** Canonical's account, which publishes Ubuntu. @default - not known to this project */
  readonly canonical?: string;
}

/**
 * The partitions. The last one has every region that is in no other.
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html for the names
 * @see https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/ ("Ownership verification") for the accounts
 */
const PARTITIONS: readonly [...Partition[], Partition] = [
  { name: "aws-us-gov", regions: /^us-gov-/, canonical: "513442679011" },
  { name: "aws-cn", regions: /^cn-/, canonical: "837727238323" },
  { name: "aws-iso", regions: /^us-iso-/ },
  { name: "aws-iso-b", regions: /^us-isob-/ },
  { name: "aws-iso-e", regions: /^eu-isoe-/ },
  { name: "aws-iso-f", regions: /^us-isof-/ },
  { name: "aws-eusc", regions: /^eusc-/ },
  { name: "aws", regions: /^/, canonical: "099720109477" },
];

/** Canonical's accounts in all partitions. An account of one partition does not exist in another. */
export const CANONICAL_ACCOUNTS: readonly string[] = PARTITIONS.flatMap(({ canonical }) => canonical ?? []);

/** The partition of a region. */
export function partitionOf(region: string): Partition {
  return PARTITIONS.find(({ regions }) => regions.test(region)) as Partition;
}

/** Old instance families. None of the regions in {@link REGIONS_WITHOUT_OLD_FAMILIES}, which opened in 2018 or later, has one of them. */
const OLD_FAMILIES = ["c1", "c3", "c4", "i2", "m1", "m2", "m3", "m4", "r3", "r4", "t1", "t2"];

/**
 * The regions with t2, and the regions with none of the families above. It is not known what other regions have.
 * From the answers of EC2 to DescribeInstanceTypeOfferings that moto 5.2.5 contains (moto/ec2/resources/instance_type_offerings),
 * and for GovCloud and Beijing from the price lists in karpenter-provider-aws (pkg/providers/pricing, July 2026).
 */
const REGIONS_WITH_T2 = [
  ...["ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"],
  ...["ca-central-1", "cn-north-1", "eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1"],
  ...["us-east-1", "us-east-2", "us-gov-west-1", "us-west-1", "us-west-2"],
];
const REGIONS_WITHOUT_OLD_FAMILIES = [
  ...["af-south-1", "ap-east-1", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ca-west-1"],
  ...["eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "il-central-1", "me-central-1", "me-south-1"],
  "us-gov-east-1",
];

/**
 * Whether a region has an instance type: `no` if it certainly has not, `unknown` for old families in a region that this
 * project does not know. Everything else is taken to exist.
 */
export function availability(region: string, type: string): "yes" | "no" | "unknown" {
  if (!OLD_FAMILIES.includes(instanceFamily(type))) return "yes";
  if (REGIONS_WITHOUT_OLD_FAMILIES.includes(region)) return "no";
  return REGIONS_WITH_T2.includes(region) ? "yes" : "unknown";
}
