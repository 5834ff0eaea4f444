// Package logging makes the program's logger: readable on a terminal, JSON
// elsewhere, with syslog priorities to the journal.
package logging

import (
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// New returns a logger that writes to w: for people on a terminal, as JSON
// otherwise, with priorities to the journal. The level can be changed later.
// Sync writes the repeated lines that are held back.
func New(c Config, w io.Writer) (*zap.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(c.Level)
	encoder := logEncoder(c, w)
	if toJournal(w, os.Getenv("JOURNAL_STREAM")) {
		encoder = prioritized{encoder}
	}
	return zap.New(withoutRepeats(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))), level
}

func logEncoder(c Config, w io.Writer) zapcore.Encoder {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	if c.Format == "json" || c.Format == "auto" && !IsTerminal(w) {
		encoding.TimeKey = "time"
		return zapcore.NewJSONEncoder(encoding)
	}
	encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	encoding.EncodeLevel = zapcore.CapitalLevelEncoder
	encoding.ConsoleSeparator = "  "
	return zapcore.NewConsoleEncoder(encoding)
}

// Config says what is logged and how.
type Config struct {
	Level  zapcore.Level
	Format string // "auto", "console" or "json"
}

func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
