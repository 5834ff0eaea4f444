package winservice

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/server"
)

// asAdministrator is the hint for what requires an administrator.
const asAdministrator = "run it in a terminal opened by `Run as administrator`"

// eventID is the ID of every event. EventCreate.exe provides the messages of the IDs
// 1 to 1000; each consists of its argument.
const eventID = 1

// Install creates the service, with a configuration file to fill in unless it
// exists; file is empty for the default one. It returns the name of the file.
func Install(description, file string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	if file == "" {
		file = filepath.Join(config.ProgramData(), "config.toml")
	} else if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	m, err := mgr.Connect()
	if err != nil {
		return "", hint.New(fmt.Errorf("connecting to the service control manager: %w", err), asAdministrator)
	}
	defer m.Disconnect()
	s, err := m.CreateService(Name, program, mgr.Config{
		DisplayName: "authferry", Description: description,
		StartType: mgr.StartAutomatic, DelayedAutoStart: true, ErrorControl: mgr.ErrorNormal,
		ServiceStartName: `NT SERVICE\` + Name, SidType: windows.SERVICE_SID_TYPE_UNRESTRICTED,
	}, "service", "run", "--config", file)
	if errors.Is(err, windows.ERROR_SERVICE_EXISTS) {
		return "", hint.New(errors.New("the service already exists"), "`authferry service remove` deletes it; configuration and mailboxes stay")
	}
	if err != nil {
		return "", hint.New(fmt.Errorf("creating the service: %w", err), asAdministrator)
	}
	defer s.Close()
	if err := configure(s, file); err != nil {
		return "", errors.Join(err, s.Delete())
	}
	return file, nil
}

// configure sets up the recovery of a new service, its source of events, its
// directory and its configuration file.
func configure(s *mgr.Service, file string) error {
	// After a crash only: a restart does not repair a wrong configuration.
	restart := func(wait time.Duration) mgr.RecoveryAction {
		return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: wait}
	}
	actions := []mgr.RecoveryAction{restart(2 * time.Second), restart(10 * time.Second), restart(time.Minute)}
	if err := s.SetRecoveryActions(actions, uint32((24 * time.Hour).Seconds())); err != nil {
		return fmt.Errorf("setting the recovery of the service: %w", err)
	}
	// An old source is left from a service that was removed by other means.
	if err := eventlog.Remove(Name); err != nil && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return fmt.Errorf("removing an old source of events: %w", err)
	}
	if err := eventlog.InstallAsEventCreate(Name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
		return fmt.Errorf("creating a source of events: %w", err)
	}
	if err := restrictDirectory(config.ProgramData()); err != nil {
		return fmt.Errorf("creating %s: %w", config.ProgramData(), err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, firstConfig)
	return errors.Join(err, f.Close())
}

// restrictDirectory creates a directory with the access of serviceAccess.
func restrictDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	access, err := windows.SecurityDescriptorFromString(serviceAccess(Name))
	if err != nil {
		return err
	}
	list, _, err := access.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}

// stopTime bounds the wait for a service that is being removed to stop: more than
// the usual drain time.
const stopTime = 90 * time.Second

// Remove stops the service and deletes it. Configuration and mailboxes stay.
func Remove() error {
	m, err := mgr.Connect()
	if err != nil {
		return hint.New(fmt.Errorf("connecting to the service control manager: %w", err), asAdministrator)
	}
	defer m.Disconnect()
	s, err := m.OpenService(Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return hint.New(errors.New("the service does not exist"), "`authferry service install` creates it")
	}
	if err != nil {
		return hint.New(fmt.Errorf("opening the service: %w", err), asAdministrator)
	}
	defer s.Close()
	status, err := s.Control(svc.Stop)
	for begin := time.Now(); err == nil && status.State != svc.Stopped && time.Since(begin) < stopTime; {
		time.Sleep(300 * time.Millisecond)
		status, err = s.Query()
	}
	if err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stopping the service: %w", err)
	}
	if err := s.Delete(); err != nil {
		return fmt.Errorf("deleting the service: %w", err)
	}
	if err := eventlog.Remove(Name); err != nil && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return fmt.Errorf("removing its source of events: %w", err)
	}
	return nil
}

// fullLog is the size at which the log file rotates.
const fullLog = 16 << 20

// Run serves under the service control manager, with the configuration that load
// returns; exitCode returns the exit code of an error.
func Run(load func() (*config.Config, error), exitCode func(error) int) error {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return hint.Usage(errors.New("the process was not started by the service control manager"), "`sc start authferry` starts the service; `authferry serve` serves from a terminal")
	}
	events, err := eventlog.Open(Name)
	if err != nil {
		return err
	}
	defer events.Close()
	return svc.Run(Name, &service{load, exitCode, events})
}

// service is authferry under the service control manager.
type service struct {
	load     func() (*config.Config, error)
	exitCode func(error) int
	events   *eventlog.Log
}

// Execute serves until the manager stops the service.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (ours bool, code uint32) {
	changes <- svc.Status{State: svc.StartPending}
	served, log, err := s.start()
	if err != nil {
		s.events.Error(eventID, err.Error())
		return true, uint32(s.exitCode(err))
	}
	defer log.Close()
	signals := make(chan os.Signal, 2)
	ended := make(chan error, 1)
	go func() { ended <- served.Run(signals) }()
	status := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptParamChange}
	changes <- status
	for {
		select {
		case request := <-requests:
			switch request.Cmd {
			case svc.Interrogate:
				changes <- status
			case svc.ParamChange:
				signals <- syscall.SIGHUP
			case svc.Stop, svc.Shutdown:
				drain := served.InForce().Drain + server.VaultClose
				status = svc.Status{State: svc.StopPending, WaitHint: uint32(drain.Milliseconds())}
				changes <- status
				signals <- syscall.SIGTERM
			}
		case err := <-ended:
			served.Log.Sync()
			if err == nil {
				return false, 0
			}
			s.events.Error(eventID, err.Error())
			if status.State == svc.Running {
				os.Exit(1) // as after a crash, so that the manager starts it again
			}
			return true, uint32(s.exitCode(err))
		}
	}
}

// start opens the log and starts the server.
func (s *service) start() (*server.Server, io.Closer, error) {
	c, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	file, err := openLogFile(filepath.Join(filepath.Dir(c.File), "authferry.log"), fullLog)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	log, level := logging.New(c.Log, file)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	served, err := server.Start(c, log, level)
	if err != nil {
		log.Error("not started", zap.Error(err))
		return nil, nil, errors.Join(err, file.Close())
	}
	return served, file, nil
}
