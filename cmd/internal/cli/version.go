package cli

import (
	"cmp"
	"runtime/debug"
)

// version returns the program's version, the commit it was built from, and Go's version.
func version() string {
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
