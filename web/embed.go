// Package web is the browser's viewer: the page built from src/ by esbuild, embedded in the relay. It holds no Go code
// but what hands out its files; the page does all its opening of envelopes and frames in the browser.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Files returns the page's files: index.html and what it loads.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for a malformed name
	}
	return files
}
