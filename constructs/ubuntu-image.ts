import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami";
import { Construct } from "constructs";
import { assertProp, LIMITS, mustBe } from "./limits";

/** Canonical's account, which publishes Ubuntu. @see https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/ */
const CANONICAL = "099720109477";

/** The name patterns of Ubuntu Server's amd64 images, by release. From 24.04 on they lie on gp3, below another path. */
export const UBUNTU_RELEASES = {
  focal: "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*",
  jammy: "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*",
  noble: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*",
} as const;

/** An Ubuntu release by its code name. */
export type UbuntuRelease = keyof typeof UBUNTU_RELEASES;

/** Which image to look up: a release or a name pattern, not both. */
export interface UbuntuImageProps {
  /** The release's code name. @default "noble", unless there is a name pattern */
  readonly release?: UbuntuRelease;
  /** The image's name, where `*` and `?` stand for other characters. @default - the release's */
  readonly namePattern?: string;
  /** Also find images that Canonical has deprecated: all of a release past its end of life. @default false */
  readonly includeDeprecated?: boolean;
}

/**
 * The newest of Canonical's Ubuntu images, x86_64 on EBS, that bears a name.
 *
 * @throws Error on both a release and a pattern, on an unknown release, or on a pattern that EC2 would refuse
 */
export class UbuntuImage extends Construct {
  /** The image's id in the provider's region. */
  readonly imageId: string;

  constructor(scope: Construct, id: string, props: UbuntuImageProps = {}) {
    super(scope, id);
    const { release, namePattern, includeDeprecated } = props;
    if (release !== undefined && namePattern !== undefined) {
      throw new Error(mustBe("release", "absent where there is a 'namePattern'", release));
    }
    if (release !== undefined && !Object.hasOwn(UBUNTU_RELEASES, release)) {
      throw new Error(mustBe("release", `one of ${Object.keys(UBUNTU_RELEASES).join(", ")}`, release));
    }
    if (namePattern !== undefined) assertProp("namePattern", LIMITS.imageNamePattern, namePattern);

    this.imageId = new DataAwsAmi(this, "ubuntu", {
      owners: [CANONICAL],
      mostRecent: true,
      includeDeprecated,
      filter: [
        { name: "root-device-type", values: ["ebs"] },
        { name: "architecture", values: ["x86_64"] },
        { name: "name", values: [namePattern ?? UBUNTU_RELEASES[release ?? "noble"]] },
      ],
    }).id;
  }
}
