package server

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestRoomForSessions(t *testing.T) {
	for _, test := range []struct {
		descriptors, connections, room int
		level                          zapcore.Level
	}{
		{20064, 10000, 10000, zapcore.InfoLevel},
		{20063, 10000, 9999, zapcore.WarnLevel},
		{1024, -1, 480, zapcore.WarnLevel}, // no limit at the gate
		{10, 1, 0, zapcore.WarnLevel},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		logDescriptors(zap.New(core), test.descriptors, test.connections)
		if logs.Len() != 1 {
			t.Fatalf("%+v: %d lines", test, logs.Len())
		}
		if line := logs.All()[0]; line.Level != test.level || line.ContextMap()["sessions"] != int64(test.room) {
			t.Errorf("%+v: %s %v", test, line.Level, line.ContextMap())
		}
	}
	core, logs := observer.New(zapcore.DebugLevel)
	logDescriptors(zap.New(core), 0, 10000)
	if logs.Len() != 0 {
		t.Error("a limit that is not known was judged")
	}
}
