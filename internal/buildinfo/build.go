// Package buildinfo identifies the program: its version, the revision it was
// built from, and the Go release that built it.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Build identifies the program.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func Current() Info {
	b := Info{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b Info) String() string {
	s := "authferry " + b.Version
	if b.Revision != "" {
		s += fmt.Sprintf(" (%.12s of %s)", b.Revision, b.Time)
	}
	if b.Modified {
		s += ", with changes"
	}
	return fmt.Sprintf("%s, %s %s", s, b.Go, b.Platform)
}
