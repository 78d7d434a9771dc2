import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami";
import { Construct } from "constructs";
import { LIMITS, mustBe } from "../model/formats";
import { UBUNTU_RELEASES, type UbuntuRelease } from "../model/images";
import { partitionOf } from "../model/regions";
import { assertLiteral, assertProp } from "./assertions";

/** Properties of a {@link UbuntuImage}: either a release or a name pattern. */
export interface UbuntuImageProps {
  /**
   * The provider's region, which determines Canonical's account: GovCloud and China have other accounts. It cannot be a token.
   * @default - a region outside of GovCloud and China
   */
  readonly region?: string;
  /** The code name of the release. Required if there is no name pattern. */
  readonly release?: UbuntuRelease;
  /** A pattern for the image's name. `*` and `?` are wildcards. @default - the release's pattern */
  readonly namePattern?: string;
  /** Whether deprecated images are found too: all images of a release past its end of life are deprecated. @default false */
  readonly includeDeprecated?: boolean;
}

/**
 * The newest of Canonical's Ubuntu images (x86_64 on EBS) whose name matches a release or a pattern.
 *
 * @throws Error unless either a release or a pattern is given, if the release is unknown, if EC2 would refuse the
 *   pattern, or if Canonical's account in the region's partition is not known
 */
export class UbuntuImage extends Construct {
  /** The image's id in the provider's region. */
  readonly imageId: string;

  constructor(scope: Construct, id: string, props: UbuntuImageProps) {
    super(scope, id);
    const { region = "", release, namePattern, includeDeprecated } = props;
    if (release !== undefined && namePattern !== undefined) {
      throw new Error(mustBe("release", "omitted when 'namePattern' is set", release));
    }
    if (namePattern === undefined && (release === undefined || !Object.hasOwn(UBUNTU_RELEASES, release))) {
      throw new Error(mustBe("release", `one of ${Object.keys(UBUNTU_RELEASES).join(", ")}`, release));
    }
    if (namePattern !== undefined) assertProp("namePattern", LIMITS.imageNamePattern, namePattern);
    if (props.region !== undefined) assertLiteral("region", LIMITS.region, region);
    const { canonical } = partitionOf(region);
    if (canonical === undefined) {
      throw new Error(mustBe("region", "a region in a partition in which Canonical's account is known", region));
    }

    this.imageId = new DataAwsAmi(this, "ubuntu", {
      owners: [canonical],
      mostRecent: true,
      includeDeprecated,
      filter: [
        { name: "root-device-type", values: ["ebs"] },
        { name: "architecture", values: ["x86_64"] },
        { name: "name", values: [namePattern ?? UBUNTU_RELEASES[release as UbuntuRelease]] },
      ],
    }).id;
  }
}
