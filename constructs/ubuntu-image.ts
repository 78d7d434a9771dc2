import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami";
import { Construct } from "constructs";
import { LIMITS, mustBe } from "../model/formats";
import { CANONICAL, UBUNTU_RELEASES, type UbuntuRelease } from "../model/images";
import { assertProp } from "./assertions";

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
