#!/bin/sh
# cdktf runs this program as Terraform for `npm run deploy` and `npm run destroy`. On Ctrl-C, cdktf ends at once. The hangup
# of its terminal would kill Terraform within a tenth of a second, while Terraform writes. This program ignores the hangup,
# so that Terraform finishes its current operations and saves its state.
trap '' HUP
exec terraform "$@"
