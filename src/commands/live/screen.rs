//! The terminal of the live view: taken over, drawn to in place, and given back on every way out.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::commands::live::viewport::Move;

/// How long a signal may go unnoticed.
const TICK: Duration = Duration::from_millis(100);

/// What somebody at the keyboard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UiEvent {
    Quit,
    Move(Move),
    /// The screen is another now.
    Redraw,
    /// The time for the next look has come.
    Next,
}

/// While this lives, the terminal is ours.
#[derive(Debug)]
pub struct Screen {
    is_stopping: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over. `is_stopping` is set by whoever handles signals.
    ///
    /// # Errors
    /// When standard input or output is no terminal.
    pub fn enter(is_stopping: Arc<AtomicBool>) -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other("--watch wants a terminal; leave it out to print the tree once"));
        }
        give_back_on_panic();
        let screen = Self { is_stopping };
        screen.take_over()?;
        Ok(screen)
    }

    fn take_over(&self) -> io::Result<()> {
        IS_OURS.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        // A width that a terminal sees in another way must not move the lines.
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, cursor::Hide)
    }

    /// Columns and lines.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn size() -> io::Result<(usize, usize)> {
        let (columns, lines) = crossterm::terminal::size()?;
        // Serial consoles do not know theirs.
        let (columns, lines) = if columns == 0 || lines == 0 { (80, 24) } else { (columns, lines) };
        Ok((usize::from(columns), usize::from(lines)))
    }

    /// Shows the first of these lines that fit and nothing else, without a moment in which less is to be seen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn show(&self, lines: &[String]) -> io::Result<()> {
        let (_, height) = Self::size()?;
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        for number in 0..height {
            // Cleared first: behind a line that fills the width, clearing would take its last character.
            queue!(out, cursor::MoveTo(0, number as u16), Clear(ClearType::CurrentLine))?;
            if let Some(line) = lines.get(number) {
                out.write_all(line.as_bytes())?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// Waits for a wish, at most until `deadline`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn wait(&self, deadline: Instant) -> io::Result<UiEvent> {
        let size = Self::size()?;
        loop {
            if self.is_stopping.load(Ordering::Relaxed) {
                return Ok(UiEvent::Quit);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(UiEvent::Next);
            }
            if is_gone(left.min(TICK))? {
                return Ok(UiEvent::Quit);
            }
            // Events may have been read along with earlier ones, so they are asked for also in silence.
            while event::poll(Duration::ZERO)? {
                let Event::Key(key) = event::read()? else { return Ok(UiEvent::Redraw) };
                if is_control(key, 'z') {
                    self.suspend()?;
                    return Ok(UiEvent::Redraw);
                }
                if let Some(wish) = wish_of(key) {
                    return Ok(wish);
                }
            }
            if Self::size()? != size {
                return Ok(UiEvent::Redraw);
            }
        }
    }

    /// As a shell's job control has it: the terminal is the shell's until we go on.
    fn suspend(&self) -> io::Result<()> {
        give_back();
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
        self.take_over()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Waits for a key, and tells whether the terminal was closed. Asked before events are: on one that was, reading
/// those never ends.
fn is_gone(limit: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match rustix::event::poll(&mut asked, Some(&limit)) {
        Ok(_) => Ok(asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Once, and harmless where it is gone.
fn give_back() {
    if !IS_OURS.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = execute!(io::stdout(), cursor::Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// So that the message of a panic is seen on the screen that stays.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            print(panic);
        }));
    });
}

fn is_control(key: KeyEvent, letter: char) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char(letter)
}

/// Arrows as everywhere, letters as in less and vi.
fn wish_of(key: KeyEvent) -> Option<UiEvent> {
    if is_control(key, 'c') {
        return Some(UiEvent::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => UiEvent::Quit,
        KeyCode::Up | KeyCode::Char('k') => UiEvent::Move(Move::Up),
        KeyCode::Down | KeyCode::Char('j') => UiEvent::Move(Move::Down),
        KeyCode::PageUp | KeyCode::Char('b') => UiEvent::Move(Move::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ' | 'f') => UiEvent::Move(Move::PageDown),
        KeyCode::Home | KeyCode::Char('g') => UiEvent::Move(Move::Top),
        KeyCode::End | KeyCode::Char('G') => UiEvent::Move(Move::Bottom),
        _ => return None,
    })
}
