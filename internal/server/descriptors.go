package server

import "go.uber.org/zap"

const (
	// perSession is what a session has open: the mail program's connection and
	// the provider's.
	perSession = 2
	// spareDescriptors are for all else: listeners, the store, refreshes, logs.
	spareDescriptors = 64
)

// sessionsFor is how many sessions a limit of open files has room for.
func sessionsFor(descriptors int) int {
	return max(0, descriptors-spareDescriptors) / perSession
}

// logDescriptors tells how many sessions there is room for, and warns if the
// gate would let in more: these could not reach their provider.
func logDescriptors(log *zap.Logger, descriptors, connections int) {
	if descriptors == 0 {
		return
	}
	room := sessionsFor(descriptors)
	fields := []zap.Field{zap.Int("descriptors", descriptors), zap.Int("sessions", room)}
	if connections < 0 || connections > room {
		log.Warn("the limit of open files has room for fewer sessions than the gate lets in: raise it (LimitNOFILE= in the unit, ulimit -n), or lower connections under [gate]",
			append(fields, zap.Int("gate", max(0, connections)))...)
		return
	}
	log.Info("room for sessions", fields...)
}
