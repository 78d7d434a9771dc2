#!/bin/sh
# Terraform as cdktf starts it for `npm run deploy` and `npm run destroy`. On Ctrl-C cdktf ends at once, and its terminal's
# hangup would kill Terraform within a tenth of a second, in the middle of whatever it writes. This one does not hear it, so
# that Terraform winds up what it is at.
trap '' HUP
exec terraform "$@"
