package proxy

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/printable"
	"authferry/proxy/relay"
	"authferry/tokens"
)

func (s *session) logRefused(r refusal, cause error) {
	level := zapcore.WarnLevel
	if r.row == rowBadLogin || r.row == rowNeedsTLS || r.row == rowTooMany {
		level = zapcore.InfoLevel // the client's affair, and as frequent as it likes
	}
	if s.grant == nil && r.row == rowBadLogin && !s.known(s.login.User) {
		cause = tokens.ErrBadLogin // its text would repeat the name
	}
	s.attempted(r.row.String(), cause)
	s.Log.Log(level, "login refused", append(s.fields(), zap.String("outcome", r.row.String()), zap.Error(cause))...)
}

// fields are the fields of every log line of a session, always in this order;
// outcome, sent, received, for and error follow where they are known.
func (s *session) fields() []zap.Field {
	f := []zap.Field{
		zap.String("protocol", s.Protocol),
		zap.Stringer("client", s.from()),
	}
	if g := s.grant; g != nil {
		f = append(f,
			zap.String("mailbox", g.Mailbox),
			zap.String("password", g.PasswordName),
			zap.String("provider", g.Provider.Name))
	} else if s.login.User != "" {
		f = append(f, zap.String("mailbox", s.loggable(s.login.User)))
	}
	return append(f, zap.String("while", s.doing))
}

// outcome says who ended a session.
func outcome(e relay.Ending) string {
	if e.Side == "authferry" {
		return "ended by authferry"
	}
	return "ended by the " + e.Side
}

// loggable shows a user name that nobody has vouched for. People paste
// passwords into the wrong field, so what is neither an address nor an alias of
// one is shown by its first letters only.
func (s *session) loggable(user string) string {
	shown := quotable(user)
	if s.known(user) {
		return printable.Cut(shown, 64)
	}
	return shown[:min(len(shown), 2)] + "..."
}

// known tells whether a user name is an address, or an alias of one.
func (s *session) known(user string) bool {
	mailbox, _ := s.Vault.Canonical(user)
	return strings.Contains(mailbox, "@")
}

// heard traces a command of the client while debugging. Dialects pass what is
// safe to show: the name of a command they know, never what they do not know
// the meaning of.
func (s *session) heard(words ...string) {
	if trace := s.tracer("from client"); trace != nil {
		trace(strings.Join(words, " "))
	}
}

// tracer returns where to trace one direction of the conversations before the
// relay, or nil unless debugging.
func (s *session) tracer(direction string) func(string) {
	if !s.Log.Core().Enabled(zapcore.DebugLevel) {
		return nil
	}
	return func(line string) {
		s.Log.Debug("said", zap.String("protocol", s.Protocol), zap.Stringer("client", s.from()),
			zap.String("direction", direction), zap.String("line", quotable(line)))
	}
}
