//go:build !linux || android

package netwatch

import (
	"context"
	"errors"
)

// listen reports that changes must be looked for. Android does not let apps listen to its kernel.
func listen(context.Context, func() bool) error { return errors.ErrUnsupported }
