package cli

import (
	"cmp"
	"runtime/debug"
)

// Version returns the program's version, the commit it was built from, and Go's version: "v1.2.3, commit c0ffee,
// go1.26.8".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of an unknown build"
	}
	return describeBuild(info)
}

func describeBuild(info *debug.BuildInfo) string {
	commit, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", with changes"
		}
	}

	return cmp.Or(info.Main.Version, "(devel)") + ", commit " + commit + changed + ", " + info.GoVersion
}
