package media

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestOpenErrorsCanBeToldApart(t *testing.T) {
	stopped := errors.New("the caller stopped")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)

	for _, row := range []struct {
		name string
		ctx  context.Context
		want error
	}{
		{"rtmp://192.0.2.1/live", t.Context(), ErrInput},
		{"", t.Context(), ErrInput},
		{filepath.Join(t.TempDir(), "nowhere.h264"), t.Context(), fs.ErrNotExist},
		{"test", t.Context(), ErrNoFFmpeg},
		{"rtsp://192.0.2.1/live", ended, stopped},
	} {
		source, err := Opener{FFmpeg: "/nowhere/ffmpeg"}.Open(row.ctx, row.name)
		if source != nil || !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, %v; want %v", row.name, source, err, row.want)
		}
	}
}
